"""Bringing in whole histories at once: imports, the demo, thousands a second. Nothing is announced."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.history import Event
from trackside_modules.support.lookup.interactions import FIELDS
from trackside_modules.support.models import EventRow
from trackside_modules.support.service import caches, rows

_NUMBERS = text("""
select nextval(pg_get_serial_sequence('support_interaction', 'id')) from generate_series(1, :count)
""")

_encode = msgspec.json.Encoder().encode


def numbers_for(session: Session, count: int) -> list[int]:
    """Return the numbers of the next `count` interactions, in order; nobody else gets them."""
    return list(session.scalars(_NUMBERS, {"count": count})) if count else []


def bring_in(
    session: Session, histories: Sequence[Sequence[Event]], *, now: datetime, numbers: Sequence[int] = ()
) -> Sequence[int]:
    """Write interactions with all that happened to them, and return their numbers, in order.

    Each history begins with `created`, its events are numbered from 1 and in the order of time; the caller has checked
    their data (see `fields`) and that no `external_ref` is there already. Give some thousand at a time. `numbers` are
    of `numbers_for`, where they were asked for before.
    """
    numbers = numbers or numbers_for(session, len(histories))
    given = dict(zip(numbers, histories, strict=True))
    if given:
        rows.copy(session, EventRow, ("interaction_id", *FIELDS), _rows(given))
        caches.write(session, given, now=now)
    return numbers


def _rows(histories: Mapping[int, Sequence[Event]]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `support_event`, as `rows.copy` takes them."""
    for number, events in histories.items():
        for it in events:
            data = _encode(it.data).decode()
            yield number, it.seq, it.at, it.kind, data, it.recorded_at, it.member_id, it.user_id, it.key_id
