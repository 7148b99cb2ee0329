"""Bringing in whole histories at once: imports, the demo, thousands a second. Nothing is announced."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.history import Event
from trackside_modules.support.models import EventRow
from trackside_modules.support.service import caches, rows
from trackside_modules.support.service.work import event_row

_NUMBERS = text("""
select nextval(pg_get_serial_sequence('support_interaction', 'id')) from generate_series(1, :count)
""")


def bring_in(session: Session, histories: Sequence[Sequence[Event]], *, now: datetime) -> list[int]:
    """Write interactions with all that happened to them, and return their numbers, in order.

    Each history begins with `created`, its events are numbered from 1 and in the order of time; the caller has checked
    their data (see `fields`) and that no `external_ref` is there already. Give some thousand at a time.
    """
    numbers = list(session.scalars(_NUMBERS, {"count": len(histories)})) if histories else []
    given = dict(zip(numbers, histories, strict=True))
    rows.insert(session, EventRow, [event_row(number, event) for number, events in given.items() for event in events])
    if given:
        caches.write(session, given, now=now)
    return numbers
