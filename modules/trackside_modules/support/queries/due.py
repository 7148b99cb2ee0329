"""What is due, and what was missed: for lists and threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside_modules.support.models import Metric

CLOCKS = {"first_reply": "First reply", "next_reply": "Reply", "resolution": "Resolution"}
"""The clocks, as people read them."""


@dataclass(frozen=True, slots=True)
class Due:
    """How an interaction stands with what was promised."""

    at: datetime | None
    """When the next promise is due; None: nothing is promised, all is kept, or clocks stand still."""
    what: str | None
    """`first_reply`, `next_reply` or `resolution`."""
    overdue: bool
    """Whether `at` has passed."""
    missed: bool
    """Whether a promise was broken before."""

    @property
    def breached(self) -> bool:
        """Whether a promise is broken, now or before."""
        return self.overdue or self.missed

    @property
    def words(self) -> str:
        """Which promise is due, as people read it."""
        return CLOCKS.get(self.what or "", "")


NOTHING = Due(None, None, overdue=False, missed=False)


def due(session: Session, numbers: Sequence[int], now: datetime) -> dict[int, Due]:
    """Return how each of the interactions `numbers` stands at `now`."""
    columns = (Metric.interaction_id, Metric.due_at, Metric.due_what, Metric.missed)
    rows = session.execute(select(*columns).where(Metric.interaction_id.in_(numbers)))
    found = {number: Due(at, what, at is not None and at < now, missed) for number, at, what, missed in rows}
    return {number: found.get(number, NOTHING) for number in numbers}


def metric(session: Session, number: int) -> Metric | None:
    """Return all that the clocks of an interaction showed."""
    return session.get(Metric, number, populate_existing=True)
