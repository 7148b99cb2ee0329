"""One kind of conversation of the demo."""

from collections.abc import Sequence
from dataclasses import dataclass, field

TRACKER = "https://tracker.example/shipping/"


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
    to_dev: bool = False
    """Whether it waits for development before it is answered."""
