"""One kind of conversation of the demo."""

from collections.abc import Sequence
from dataclasses import dataclass, field

TRACKER = "https://tracker.example/shipping/"


@dataclass(frozen=True, slots=True)
class Calls:
    """What a customer called in vain, or waited for, before they wrote of it."""

    method: str
    route: str
    """As usage names it."""
    status: int
    number: int
    error: str = ""
    message: str = ""
    slow: bool = False
    """They were answered, after more than a second."""

    @property
    def counted(self) -> Sequence[str]:
        """Return as what usage counts them, besides as calls."""
        if self.slow:
            return ("slow",)
        if self.status >= 500:
            return ("server_errors",)
        return ("client_errors", "wrong_turns") if self.status in {401, 403, 429} else ("client_errors",)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of conversation; what follows the first answer is told in turns, the customer's first."""

    topic: str
    kind: str
    subject: str
    says: str
    answer: str
    turns: Sequence[str] = ()
    note: str = ""
    tags: Sequence[str] = ()
    priority: str = "normal"
    channel: str = "email"
    weight: float = 1.0
    """How often it comes, relative to the others."""
    plans: frozenset[str] = field(default_factory=frozenset)
    """Only customers on these plans; empty: any."""
    links: Sequence[tuple[str, str]] = ()
    files: Sequence[tuple[str, str]] = ()
    """Names and texts of what came along."""
    calls: Calls | None = None
    """What they speak of, which their frozen context shows."""
    to_dev: bool = False
    """Whether it waits for development before it is answered."""
