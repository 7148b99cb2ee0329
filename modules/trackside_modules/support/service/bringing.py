"""Bringing in whole histories at once: imports, the demo, thousands a second. Nothing is announced."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.clocks.walks import Walk, walk
from trackside_modules.support.history import Event
from trackside_modules.support.lookup.interactions import FIELDS
from trackside_modules.support.models import EventRow
from trackside_modules.support.service import caches, rows

_NUMBERS = text("""
select nextval(cast(found as regclass))
from pg_get_serial_sequence('support_interaction', 'id') found, generate_series(1, :count)
""")
# PostgreSQL gathers words and tags before they go into their index: those that many have go in together, which is less
_TOGETHER = text("""
select set_config('gin_pending_list_limit', '16MB', true), set_config('work_mem', '64MB', true)
""")
_INDEX_NOW = text("""
select gin_clean_pending_list('ix_support_search_document'), gin_clean_pending_list('ix_support_interaction_tags')
""")
_COLUMNS = ("interaction_id", *FIELDS)

_encode = msgspec.json.Encoder().encode


def numbers_for(session: Session, count: int) -> list[int]:
    """Return the numbers of the next `count` interactions, in order; nobody else gets them."""
    return list(session.scalars(_NUMBERS, {"count": count})) if count else []


def bring_in(session: Session, histories: Sequence[Sequence[Event]]) -> Sequence[int]:
    """Write interactions with all that happened to them, and return their numbers, in order (see `bring`)."""
    numbers = numbers_for(session, len(histories))
    bring(session, dict(zip(numbers, map(walk, histories), strict=True)))
    return numbers


def bring(session: Session, walks: Mapping[int, Walk]) -> None:
    """Write new interactions with all that happened to them, by their numbers, which are of `numbers_for`.

    Each history begins with `created`, its events are numbered from 1 and in the order of time; the caller has checked
    their data (see `fields`) and that no `external_ref` is there already. Give some thousand at a time.
    """
    if walks:
        session.execute(_TOGETHER)
        rows.copy(session, EventRow, _COLUMNS, _rows(walks))
        caches.keep(session, walks, new=True)


def index_now(session: Session) -> None:
    """Take into the indexes what was gathered before them, once all is brought in: each search reads it until then."""
    session.execute(_INDEX_NOW)


def _rows(walks: Mapping[int, Walk]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `support_event`, as `rows.copy` takes them."""
    for number, walked in walks.items():
        for it in walked.events:
            data = _encode(it.data).decode()
            yield number, it.seq, it.at, it.kind, data, it.recorded_at, it.member_id, it.user_id, it.key_id
