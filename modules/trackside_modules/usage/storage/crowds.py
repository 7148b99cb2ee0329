"""Everybody who called, with the sums of their calls: remembered where they are, else from the tiers (see `memory`).

A crowd is a column of user ids and one for each of `SUMS`; it is kept in one piece, which numpy reads as it lies.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    case,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageCrowd, UsageMinute
from trackside_modules.usage.storage import closed, minutes, tiers
from trackside_modules.usage.storage.counts import LARGEST, Groups
from trackside_modules.usage.storage.hung import numbers, run
from trackside_modules.usage.storage.memory import MADE_OF, STEPS, Plan, Unit, plan
from trackside_modules.usage.storage.packs import Ints
from trackside_modules.usage.storage.tiers import Part

SUMS = ("calls", "client_errors", "server_errors", "wrong_turns", "slow")
_SPREAD = 8
"""How many times as many numbers as rows the ids may spread over to be counted by place."""
EVERYTHING = 0
"""The endpoint that stands for all of them."""
_TURNS = 1 + SUMS.index("wrong_turns")
_MINUTE = timedelta(minutes=1)


class Crowd(NamedTuple):
    """Users in order of their ids, and a row of `SUMS` for each; `last` is when the bucket of their last turn began.

    `last` is in seconds since 1970, 0 where there was no wrong turn.
    """

    ids: Ints
    sums: Ints
    last: Ints

    def column(self, name: str) -> Ints:
        """Return one of the sums."""
        return self.sums[:, SUMS.index(name)]


def pack(ids: Ints, sums: Ints) -> bytes:
    """Return a crowd as bytes: the width of its numbers (4 or 8), then its columns one after the other."""
    table = np.vstack((ids[None, :], sums.T))
    width = 8 if table.size and int(table.max()) >= 1 << 32 else 4
    return bytes([width]) + table.astype(f"<u{width}").tobytes()


def unpack(packed: bytes) -> Ints:
    """Return what `pack` wrote: a row of id and sums for each user."""
    table = np.frombuffer(packed, dtype=f"<u{packed[0]}", offset=1).reshape(1 + len(SUMS), -1)
    return table.T.astype(np.int64)


def read(
    session: Session,
    env_id: int,
    start: datetime,
    end: datetime,
    *,
    units: Sequence[Unit] = ("week", "day", "hour"),
    endpoints: Sequence[int] | None = None,
) -> Crowd:
    """Return who called in `[start, end)`: anything, or one of some endpoints."""
    planned = plan(session, env_id, start, end, tuple(units))
    pieces: list[Crowd] = []
    if planned.kept:
        whom = (EVERYTHING,) if endpoints is None else tuple(endpoints)
        what = ("crowd", env_id, whom)
        pieces.append(closed.held(session, what, planned, lambda: _over(session, env_id, planned, whom)))
    tables, times = list[Ints](), list[Ints]()
    parts = planned.parts
    if endpoints is None:
        last = [part for part in parts if part.unit == "minute" and part.end - part.start <= minutes.LONGEST]
        parts = [part for part in parts if part not in last]
        for seconds, table in (each for part in last for each in _of_minutes(session, env_id, part)):
            tables.append(table)
            times.append(np.full(len(table), seconds))
    if parts:
        counted = _of_all(env_id, parts) if endpoints is None else _of_some(env_id, parts, endpoints)
        _, _, table, starts = _counted(session, counted, None)
        tables.append(table)
        times.append(starts)
    if pieces and not tables:
        return pieces[0]
    tables += [np.column_stack((it.ids, it.sums)) for it in pieces]
    times += [it.last for it in pieces]
    return _folded(np.concatenate([_none(), *tables]), np.concatenate([_none()[:, 0], *times]))


def _over(session: Session, env_id: int, planned: Plan, endpoints: Sequence[int]) -> Crowd:
    """Return who called in the buckets that a plan takes from memory; hours of one endpoint are in the tiers alone."""
    found = [(at, unpack(packed)) for _, at, packed in _stored(session, env_id, planned, endpoints)]
    times = [np.full(len(table), int(at.timestamp())) for at, table in found]
    tables = [table for _, table in found]
    hours = [part for part in planned.over() if part.unit == "hour"]
    if hours and EVERYTHING not in endpoints:
        _, _, table, starts = _counted(session, _of_some(env_id, hours, endpoints), None)
        tables.append(table)
        times.append(starts)
    return _folded(np.concatenate([_none(), *tables]), np.concatenate([_none()[:, 0], *times]))


def of_some(env_id: int, parts: Sequence[Part], narrow: tiers.Narrow, *, whole: bool) -> Select[*tuple[Any, ...]]:
    """Compose what some users' calls come to in parts of the tiers, for `taken`.

    `whole` where `narrow` is of users alone.
    """
    if whole:
        return _columns(tiers.of_user(env_id, parts, narrow, SUMS))
    return _columns(_by_sort(env_id, tiers.by_user(env_id, parts, narrow)))


def taken(row: Sequence[Any]) -> Crowd:
    """Return the crowd in the one row of `of_some`."""
    user, *sums, seconds = map(numbers, row)
    return _folded(np.column_stack((user, *sums)), seconds)


def _none() -> Ints:
    return np.zeros((0, 1 + len(SUMS)), dtype=np.int64)


def _folded(table: Ints, times: Ints) -> Crowd:
    """Return each user once, with the sums of their rows."""
    ids, times = table[:, 0], np.where(table[:, _TURNS] > 0, times, 0)
    low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
    if high - low >= _SPREAD * (len(ids) + 1024) or float(table[:, 1:].sum(dtype=np.float64)) >= LARGEST:
        group = Groups.of(ids)
        sums = [group.sum(table[:, place]) for place in range(1, 1 + len(SUMS))]
        return Crowd(group.keys[0], np.column_stack(sums), group.most(times))
    # ids that lie close together are counted by place: sorting them would take longest of all
    there = np.zeros(high - low + 1, dtype=np.int64)
    there[ids - low] = 1
    once = np.flatnonzero(there)
    places = (np.cumsum(there) - 1)[ids - low]
    columns = np.zeros((1 + len(SUMS), len(once)), dtype=np.int64)
    for place in range(len(SUMS)):
        np.add.at(columns[place], places, table[:, place + 1])
    np.maximum.at(columns[-1], places, times)
    return Crowd(once + low, columns[:-1].T, columns[-1])


def _stored(session: Session, env_id: int, planned: Plan, endpoints: Sequence[int] | None) -> Sequence[Any]:
    """Return endpoint, time and packed crowd of what is remembered; of each endpoint where none are named."""
    if not planned.kept:
        return []
    it = UsageCrowd
    query = select(it.endpoint_id, it.at, it.users).where(it.env_id == env_id, planned.among(it))
    query = query.where(it.endpoint_id != EVERYTHING if endpoints is None else it.endpoint_id.in_(endpoints))
    return session.execute(query).all()


def _of_minutes(session: Session, env_id: int, part: Part) -> Iterator[tuple[int, Ints]]:
    """Yield the start (seconds) and the table of each minute of a part: held by the process or read (see `minutes`)."""
    for seconds, packed in minutes.read(session, env_id, part, "crowd", of_minutes):
        yield seconds, unpack(packed)


def of_minutes(session: Session, env_id: int, part: Part, among: tiers.Narrow) -> dict[int, bytes]:
    """Return the packed crowds of some minutes of a part, by their start (seconds)."""
    at, endpoint, user, status, calls, slow = raw(session, env_id, part, among)
    wrong = np.isin(status, tiers.WRONG_STATUSES) | np.isin(endpoint, session.scalars(tiers.nowhere(env_id)).all())
    kinds = ((status >= 400) & (status < 500), status >= 500, wrong)
    table = np.column_stack((user, calls, *(np.where(kind, calls, 0) for kind in kinds), slow))
    return {seconds: packed for (seconds, _), packed in _rows(at, np.zeros_like(at), table).items()}


def raw(session: Session, env_id: int, part: Part, narrow: tiers.Narrow) -> list[Ints]:
    """Return the rows of some minutes as columns: start (seconds), endpoint, user, status, calls, slow ones.

    As they lie: PostgreSQL takes longer to group some ten thousand of them than numpy.
    """
    it: Any = UsageMinute.__table__.c
    columns = (func.extract("epoch", it.minute), it.endpoint_id, it.user_id, it.status, it.calls, it.slow)
    mine = it.env_id == env_id, it.minute >= part.start, it.minute < part.end, narrow(it)
    return [numbers(value) for value in session.execute(select(*map(run, columns)).where(*mine)).one()]


def _of_all(env_id: int, parts: Sequence[Part], narrow: tiers.Narrow | None = None) -> Subquery:
    it = tiers.of_user(env_id, parts, narrow, SUMS).c
    sums = [it[name] for name in SUMS]
    return select(it.at, literal(EVERYTHING).label("endpoint_id"), it.user_id, *sums).subquery()


def _of_some(env_id: int, parts: Sequence[Part], endpoints: Sequence[int] | None) -> Subquery:
    def narrow(table: Any) -> ColumnElement[bool]:
        found: ColumnElement[bool] = true() if endpoints is None else table.endpoint_id.in_(endpoints)
        return found

    return _by_sort(env_id, tiers.by_user(env_id, parts, narrow))


def _by_sort(env_id: int, counted: Subquery) -> Subquery:
    """Return rows of endpoint, user and status with their calls by sort instead of the status."""
    it = counted.c
    kinds = (it.status.between(400, 499), it.status >= 500, tiers.is_wrong_turn(env_id, it))
    sorts = [case((kind, it.calls), else_=0).label(name) for name, kind in zip(SUMS[1:4], kinds, strict=True)]
    return select(it.at, it.endpoint_id, it.user_id, it.calls, *sorts, it.slow).subquery()


def _counted(session: Session, counted: Subquery, bins: Any) -> tuple[Ints, Ints, Ints, Ints]:
    """Return columns: the bucket (seconds) by `bins`, the endpoint, the table of id and sums, the last wrong turn.

    Without `bins` all buckets and endpoints are one.
    """
    row = session.execute(_columns(counted, bins)).one()
    user, *sums, seconds = map(numbers, row[: 2 + len(SUMS)])
    table = np.column_stack((user, *sums))
    at, endpoint = (
        map(numbers, row[2 + len(SUMS) :]) if bins is not None else (np.zeros_like(user), np.zeros_like(user))
    )
    return at, endpoint, table, seconds


def _columns(counted: Subquery, bins: Any = None) -> Select[*tuple[Any, ...]]:
    """Compose a row of columns: user, `SUMS`, the last wrong turn (seconds), and with `bins` bucket and endpoint."""
    it = counted.c
    keys: list[Any] = [it.user_id] if bins is None else [it.user_id, bins.label("bin"), it.endpoint_id]
    last = func.max(it.at).filter(it.wrong_turns > 0).label("last")
    each = select(*keys, *(func.sum(it[name]).label(name) for name in SUMS), last)
    summed = each.group_by(*(literal_column(str(place + 1)) for place in range(len(keys)))).subquery().c
    turned = func.coalesce(func.extract("epoch", summed.last), 0)
    columns: list[Any] = [summed.user_id, *(summed[name] for name in SUMS), turned]
    if bins is not None:
        columns += [func.extract("epoch", summed.bin), summed.endpoint_id]
    return select(*map(run, columns))


def made(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the rows to be remembered of the buckets of `[start, end)`: of everything, and by endpoint."""
    planned = plan(session, env_id, start, end, MADE_OF[unit])
    columns: list[tuple[Ints, Ints, Ints]] = []
    if planned.parts:
        counted = _of_all(env_id, planned.parts) if unit == "hour" else _of_some(env_id, planned.parts, None)
        columns.append(_counted(session, counted, func.date_bin(STEPS[unit], counted.c.at, start))[:3])
    for endpoint, at, packed in _stored(session, env_id, planned, None):
        table = unpack(packed)
        bucket = start + (at - start) // STEPS[unit] * STEPS[unit]
        columns.append((np.full(len(table), int(bucket.timestamp())), np.full(len(table), endpoint), table))
    if not columns:
        return []
    at, endpoint, table = (np.concatenate(each) for each in zip(*columns, strict=True))
    found = _rows(at, endpoint, table)
    if unit != "hour":
        found |= _rows(at, np.zeros_like(endpoint), table)
    keys = {"env_id": env_id, "unit": unit}
    return [
        keys | {"endpoint_id": id_, "at": datetime.fromtimestamp(seconds, start.tzinfo), "users": packed}
        for (seconds, id_), packed in found.items()
    ]


def _rows(at: Ints, endpoint: Ints, table: Ints) -> dict[tuple[int, int], bytes]:
    """Return packed crowds by bucket and endpoint."""
    group = Groups.of(at, endpoint, table[:, 0])
    sums = np.column_stack([group.sum(table[:, place]) for place in range(1, 1 + len(SUMS))])
    seconds, endpoints, users = group.keys
    owners = Groups.of(seconds, endpoints)
    stops = [*owners.firsts.tolist(), len(users)][1:]
    return {
        (int(seconds[first]), int(endpoints[first])): pack(users[first:stop], sums[first:stop])
        for first, stop in zip(owners.firsts.tolist(), stops, strict=True)
    }
