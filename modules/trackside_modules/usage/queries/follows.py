"""What follows what: of each endpoint, what its callers called next (counted by `folding.follow`).

Weeks of it are a hundred thousand rows, of which today's alone change; so the days that are over are held by the
process as one table of pairs (see `closed`). A late pair forgets its day in the fold's transaction.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

import numpy as np
from sqlalchemy import ARRAY, Date, any_, bindparam, func, select
from sqlalchemy.orm import Session

from trackside_modules.usage.folding.follow import REST
from trackside_modules.usage.models import UsageEndpoint, UsageFollow
from trackside_modules.usage.queries.endpoints import named
from trackside_modules.usage.queries.scope import of_service
from trackside_modules.usage.storage import closed, memory
from trackside_modules.usage.storage.counts import Groups
from trackside_modules.usage.storage.hung import numbers, run
from trackside_modules.usage.storage.packs import Ints

_DAY = timedelta(days=1)
_DAYS: dict[memory.Unit, int] = {unit: step // _DAY for unit, step in memory.STEPS.items()}
_IT = UsageFollow.__table__.c
_EACH = (
    select(_IT.from_endpoint, _IT.to_endpoint, func.sum(_IT.calls).label("calls"))
    .where(_IT.env_id == bindparam("env"), _IT.day == any_(bindparam("days", type_=ARRAY(Date))))
    .group_by(_IT.from_endpoint, _IT.to_endpoint)
    .subquery()
)
_PAIRS = select(*map(run, _EACH.c))


@dataclass(frozen=True, slots=True)
class Step:
    """That one endpoint follows another: how often, and in which share of all that follows the first."""

    before: UsageEndpoint
    after: UsageEndpoint
    calls: int
    share: float


class Pairs(NamedTuple):
    """A row for each pair of endpoints, by their ids: which came before, which after, and how often."""

    before: Ints
    after: Ints
    calls: Ints

    def only(self, kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "Pairs":
        """Return the rows that are told to be kept."""
        return Pairs(*(column[kept] for column in self))


def top(
    session: Session,
    env_id: int,
    start: datetime,
    end: datetime,
    *,
    service: str = "",
    endpoint_id: int | None = None,
    limit: int = 50,
    repeats: bool = False,
) -> list[Step]:
    """Return what follows what most often on the days (UTC) that `[start, end)` touches.

    Args:
        session: A session.
        env_id: The environment.
        start: The first moment.
        end: The moment after the last.
        service: Only what follows endpoints of this service; all where empty.
        endpoint_id: Only what follows this endpoint.
        limit: How many.
        repeats: Whether an endpoint that follows itself is among them; it has its part in the shares anyway.

    """
    pairs = _read(session, env_id, start, end)
    group = Groups.of(pairs.before)
    every = group.sum(pairs.calls)[group.of_row]
    kept = pairs.after != REST
    if service:
        kept &= np.isin(pairs.before, session.scalars(of_service(env_id, service)).all())
    if endpoint_id is not None:
        kept &= pairs.before == endpoint_id
    if not repeats:
        kept &= pairs.before != pairs.after
    mine, every = pairs.only(kept), every[kept]
    order = np.lexsort((mine.after, mine.before, -mine.calls))
    rows = zip(*(column[order].tolist() for column in (*mine, every)), strict=True)
    return list(islice(_steps(session, rows, limit), limit))


def _steps(session: Session, rows: Iterator[tuple[int, int, int, int]], at_once: int) -> Iterator[Step]:
    """Yield the steps of rows of ids, calls and all calls after the first; none of endpoints that are gone."""
    while some := list(islice(rows, at_once)):
        known = named(session, {id_ for row in some for id_ in row[:2]})
        for before, after, calls, every in some:
            if before in known and after in known:
                yield Step(known[before], known[after], calls, calls / every)


def _read(session: Session, env_id: int, start: datetime, end: datetime) -> Pairs:
    """Return the pairs of whole days, each once."""
    first, last = (memory.floor("day", at) for at in (start, end - timedelta(microseconds=1)))
    planned = memory.plan(session, env_id, first, last + _DAY, ("week", "day"))
    over = {at + place * _DAY for unit, times in planned.kept.items() for at in times for place in range(_DAYS[unit])}
    rest = [at for at in (first + place * _DAY for place in range((last - first).days + 1)) if at not in over]
    found = [_counted(session, env_id, rest)]
    if over:
        found.append(closed.held(session, ("follows", env_id), planned, lambda: _counted(session, env_id, over)))
    *pair, calls = (np.concatenate(columns) for columns in zip(*found, strict=True))
    group = Groups.of(*pair)
    before, after = group.keys
    return Pairs(before, after, group.sum(calls))


def _counted(session: Session, env_id: int, days: Iterable[datetime]) -> Pairs:
    """Return the pairs of some days."""
    row = session.execute(_PAIRS, {"env": env_id, "days": [at.date() for at in days]}).one()
    before, after, calls = map(numbers, row)
    return Pairs(before, after, calls)
