"""What rate limits announce inside the module; `QuotaApproached` and `QuotaReached` are in `trackside.events`."""

from dataclasses import dataclass

from trackside.events import Event


@dataclass(frozen=True, slots=True)
class QuotasChanged(Event):
    """A limit was made, edited or deleted: whoever holds limits in memory loads them again."""

    env_id: int
