"""Interactions by their number, and what happened to them."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.errors import NotFound
from trackside_modules.support import words
from trackside_modules.support.history import Event
from trackside_modules.support.models import EventRow, Interaction

FIELDS = Event.__struct_fields__
"""Columns of `support_event`, as `Event` has them."""


def history_of(session: Session, number: int) -> list[Event]:
    """Return everything that happened to the interaction `number`, in order."""
    return histories_of(session, [number]).get(number, [])


def histories_of(session: Session, numbers: Collection[int]) -> dict[int, list[Event]]:
    """Return everything that happened to each of the interactions `numbers`, in order."""
    columns = [getattr(EventRow, name) for name in FIELDS]
    query = select(EventRow.interaction_id, *columns).where(EventRow.interaction_id.in_(numbers))
    found: dict[int, list[Event]] = {}
    for number, *row in session.execute(query.order_by(EventRow.interaction_id, EventRow.seq)):
        found.setdefault(number, []).append(Event(*row))
    return found


def get(session: Session, number: int) -> Interaction:
    """Return the interaction `number` as it is now; raises NotFound."""
    found = None
    if 0 < number < 1 << 63:
        found = session.get(Interaction, number, populate_existing=True)
    if found is None:
        raise NotFound(f"There is no interaction {words.ref(number)}.")
    return found
