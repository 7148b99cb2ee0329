"""Making everything that is made of events anew: `trackside support rebuild`.

It goes on while people work: a few thousand interactions at a time are locked, read and written. Two at once, since
reading and folding is this process's work, and words and indexes are PostgreSQL's.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.history import Event
from trackside_modules.support.service import caches, searching

CHUNK = 2000
"""Interactions that are made anew in one transaction."""
THREADS = 2
_BOUNDS = text("""
select coalesce(min(interaction_id), 1), coalesce(max(interaction_id), 0) from support_event
""")
_LOCK = text("select id from support_interaction where id >= :first and id < :end order by id for update")
_EVENTS = text("""
select interaction_id, seq, at, kind, data, recorded_at, member_id, user_id, key_id from support_event
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
_MERGED = text("select distinct merged_into from support_interaction where merged_into is not null")
Sessions = Callable[[], AbstractContextManager[Session]]
"""What gives a session that commits at its end: `runtime.database.session`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done: int
    """Numbers of interactions gone through, of `total`."""
    total: int


def rebuild(sessions: Sessions, *, now: datetime, tell: Callable[[Progress], None] = lambda _: None) -> int:
    """Make the caches of all interactions anew, and return how many those are; `tell` is called on the way."""
    with sessions() as session:
        first, last = session.execute(_BOUNDS).one()
        session.execute(_STRAY)
    total, through, count = max(0, last + 1 - first), 0, 0
    starts = range(first, last + 1, CHUNK)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="support-rebuild") as pool:
        for made in pool.map(lambda start: _chunk(sessions, start, now), starts):
            count += made
            through = min(total, through + CHUNK)
            tell(Progress(through, total))
    with sessions() as session:
        searching.absorb(session, session.scalars(_MERGED).all())
    return count


def _chunk(sessions: Sessions, start: int, now: datetime) -> int:
    bounds = {"first": start, "end": start + CHUNK}
    with sessions() as session:
        session.execute(_LOCK, bounds)
        histories = dict(_histories(session.execute(_EVENTS, bounds).all()))
        if histories:
            caches.write(session, histories, now=now)
        return len(histories)


def _histories(found: object) -> Iterator[tuple[int, list[Event]]]:
    for number, mine in groupby(found, key=itemgetter(0)):  # type: ignore[call-overload]
        yield number, [Event(*row[1:]) for row in mine]
