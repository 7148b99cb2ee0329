"""Making everything that is made of events anew: `trackside support rebuild`.

It goes on while people work: a few thousand interactions at a time are locked, read and written. Two processes share
them, since folding and measuring is Python's work, and words and indexes are PostgreSQL's.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import text

from trackside.db import Database
from trackside.events import EventBus
from trackside_modules.support.history import Event
from trackside_modules.support.service import caches, searching

CHUNK = 2000
"""Interactions that are made anew in one transaction."""
PROCESSES = 2
_BOUNDS = text("""
select coalesce(min(interaction_id), 1), coalesce(max(interaction_id), 0) from support_event
""")
_LOCK = text("select id from support_interaction where id >= :first and id < :end order by id for update")
_EVENTS = text("""
select interaction_id, seq, at, kind, data::text, recorded_at, member_id, user_id, key_id from support_event
where interaction_id >= :first and interaction_id < :end order by interaction_id, seq
""")
_STRAY = text("""
with stray as (
    delete from support_interaction it
    where not exists (select from support_event e where e.interaction_id = it.id) returning id
), links as (
    delete from support_link where interaction_id in (select id from stray)
), metrics as (
    delete from support_metric where interaction_id in (select id from stray)
)
delete from support_search where interaction_id in (select id from stray)
""")
_read = msgspec.json.Decoder(dict[str, Any]).decode
_MERGED = text("select distinct merged_into from support_interaction where merged_into is not null")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done: int
    """Numbers of interactions gone through, of `total`."""
    total: int


def rebuild(database: Database, *, tell: Callable[[Progress], None] = lambda _: None) -> int:
    """Make the caches of all interactions anew, and return how many those are; `tell` is called on the way."""
    with database.session() as session:
        first, last = session.execute(_BOUNDS).one()
        session.execute(_STRAY)
    starts = range(first, last + 1, CHUNK)
    total, count = max(0, last + 1 - first), 0
    for at, made in enumerate(_chunks(database, starts), start=1):
        count += made
        tell(Progress(min(total, at * CHUNK), total))
    with database.session() as session:
        searching.absorb(session, session.scalars(_MERGED).all())
    return count


def _chunks(database: Database, starts: range) -> Iterator[int]:
    """Yield how many interactions each chunk had, in order; few chunks are made here."""
    chunk = partial(_chunk, size=CHUNK)
    if len(starts) <= PROCESSES:
        yield from (chunk(start, database=database) for start in starts)
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, initializer=_begin, initargs=(database.url,)) as pool:
        yield from pool.map(chunk, starts)


_own: list[Database] = []
"""The connection of a process of the pool."""


def _begin(url: str) -> None:
    _own.append(Database(url, EventBus(), size=1))


def _chunk(start: int, *, size: int, database: Database | None = None) -> int:
    bounds = {"first": start, "end": start + size}
    with (database or _own[0]).session() as session:
        session.execute(_LOCK, bounds)
        histories = dict(_histories(session.execute(_EVENTS, bounds).all()))
        if histories:
            caches.write(session, histories)
        return len(histories)


def _histories(found: Iterable[Any]) -> Iterator[tuple[int, list[Event]]]:
    for number, mine in groupby(found, key=itemgetter(0)):
        yield number, [Event(seq, at, kind, _read(data), *rest) for _, seq, at, kind, data, *rest in mine]
