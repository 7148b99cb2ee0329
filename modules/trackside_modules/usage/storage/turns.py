"""Everybody's wrong turns by sort, with when they began and ended: remembered where they are, else from the tiers.

They are a small part of the rows of users, and finding them reads all of those: so what each hour,
day and week that is over came to is kept, by service, in one piece that numpy reads as it lies (see `memory`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import Subquery, and_, func, literal, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint, UsageTurn
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage import closed, crowds, minutes, tiers
from trackside_modules.usage.storage.counts import LARGEST, Groups
from trackside_modules.usage.storage.hung import numbers, run
from trackside_modules.usage.storage.memory import MADE_OF, STEPS, Plan, Unit, plan
from trackside_modules.usage.storage.packs import Ints
from trackside_modules.usage.storage.tiers import Part

Sort = Literal["nowhere", "unauthorized", "forbidden", "limited"]
SORTS: tuple[Sort, ...] = ("nowhere", "unauthorized", "forbidden", "limited")
STATUSES: dict[int, Sort] = {401: "unauthorized", 403: "forbidden", 429: "limited"}
_BY_STATUS = np.zeros(1000, dtype=np.int64)
_BY_STATUS[list(STATUSES)] = [SORTS.index(sort) for sort in STATUSES.values()]
_WIDTH = 5
"""Columns of a piece: user, place in `SORTS`, calls, and the seconds since 1970 of the first and the last bucket."""
_DAY = 86_400
_SPREAD = 32
"""How many times as many numbers as rows users and sorts may spread over to be counted by place."""


class Turns(NamedTuple):
    """A row for each user and sort, in their order: calls, and when the buckets of the first and last one began."""

    users: Ints
    sorts: Ints
    calls: Ints
    first: Ints
    last: Ints

    def only(self, kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "Turns":
        """Return the rows that are told to be kept."""
        return Turns(*(column[kept] for column in self))


@dataclass(frozen=True, slots=True)
class Found:
    """The turns of a span, and the parts of it that were read by days: their first and last are of a day only."""

    turns: Turns
    days: list[Part]


def read(
    session: Session, env_id: int, start: datetime, end: datetime, *, service: str = "", sort: Sort | None = None
) -> Found:
    """Return the wrong turns in `[start, end)`: all, or those of one service or sort."""
    planned = plan(session, env_id, start, end, ("week", "day", "hour"))
    tables: list[Ints] = []
    if planned.kept:
        what = ("turns", env_id, service)
        tables.append(closed.held(session, what, planned, lambda: _over(session, env_id, planned, service)))
    last = [part for part in planned.parts if part.unit == "minute" and part.end - part.start <= minutes.LONGEST]
    parts = [part for part in planned.parts if part not in last]
    rows = [table for part in last for table in _of_minutes(session, env_id, part)]
    if parts:
        rows.append(_counted(session, tiers.by_user(env_id, parts, _wrong(env_id))))
    if rows:
        found = _by_service(session, np.concatenate(rows))
        tables += [table[:, 1:] for name, table in found.items() if service in ("", name)]
    table = np.concatenate([np.zeros((0, _WIDTH), dtype=np.int64), *tables])
    if sort:
        table = table[table[:, 1] == SORTS.index(sort)]
    return Found(_folded(table), [part for part in planned.parts if part.unit == "day"])


def _over(session: Session, env_id: int, planned: Plan, service: str) -> Ints:
    """Return the rows of what is remembered, each user and sort once."""
    tables = [table for _, table in _stored(session, env_id, planned, service)]
    return np.column_stack(_folded(np.concatenate([np.zeros((0, _WIDTH), dtype=np.int64), *tables])))


def pack(table: Ints) -> bytes:
    """Return rows of numbers as bytes: their width (4 or 8), how many columns, and the columns one after the other."""
    width = 8 if table.size and int(table.max()) >= 1 << 32 else 4
    return bytes([width, table.shape[1]]) + table.T.astype(f"<u{width}").tobytes()


def unpack(packed: bytes) -> Ints:
    """Return what `pack` wrote."""
    return np.frombuffer(packed, dtype=f"<u{packed[0]}", offset=2).reshape(packed[1], -1).T.astype(np.int64)


def _folded(table: Ints) -> Turns:
    """Return each user and sort once."""
    users, sorts, calls, first, last = table.T
    low = int(users.min(initial=LARGEST))
    keys = (users - low) * len(SORTS) + sorts
    size = int(keys.max(initial=0)) + 1
    if size >= _SPREAD * (len(keys) + 1024) or float(calls.sum(dtype=np.float64)) >= LARGEST:
        group = Groups.of(users, sorts)
        ids, kinds = group.keys
        return Turns(ids, kinds, group.sum(calls), -group.most(-first), group.most(last))
    # as in `crowds`: users that lie close together are counted by place
    summed, latest = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    earliest = np.full(size, LARGEST, dtype=np.int64)
    np.add.at(summed, keys, calls)
    np.minimum.at(earliest, keys, first)
    np.maximum.at(latest, keys, last)
    there = np.flatnonzero(latest)
    return Turns(there // len(SORTS) + low, there % len(SORTS), summed[there], earliest[there], latest[there])


def _stored(session: Session, env_id: int, planned: Plan, service: str = "") -> Iterator[tuple[tuple[str, int], Ints]]:
    """Yield service and time (seconds), and the table, of each piece that is remembered."""
    if planned.kept:
        it = UsageTurn
        query = select(it.service, it.at, it.turns).where(it.env_id == env_id, planned.among(it))
        for name, at, packed in session.execute(query.where(it.service == service) if service else query):
            yield (name, int(at.timestamp())), unpack(packed)


def _wrong(env_id: int) -> tiers.Narrow:
    return lambda table: tiers.is_wrong_turn(env_id, table)


def _of_minutes(session: Session, env_id: int, part: Part) -> Iterator[Ints]:
    """Yield the rows of each minute of a part, as `_counted` does: held by the process or read (see `minutes`)."""
    for _, packed in minutes.read(session, env_id, part, "turns", of_minutes):
        yield unpack(packed)


def of_minutes(session: Session, env_id: int, part: Part, among: tiers.Narrow) -> dict[int, bytes]:
    """Return the rows of some minutes of a part, packed, by their start (seconds)."""
    wrong = _wrong(env_id)
    at, *keys, calls, _ = crowds.raw(session, env_id, part, lambda table: and_(among(table), wrong(table)))
    rows = np.column_stack((at, *keys, calls, at, at))
    return {seconds: pack(rows[at == seconds]) for seconds in np.unique(at).tolist()}


def _counted(session: Session, rows: Subquery, bins: timedelta | None = None, start: datetime | None = None) -> Ints:
    """Return a row for each bucket (all are 0 without `bins`), endpoint, user and status: calls, first and last."""
    it = rows.c
    bucket: Any = func.date_bin(bins, it.at, start) if bins else literal(datetime.fromtimestamp(0, UTC))
    keys: list[Any] = [bucket.label("bin"), it.endpoint_id, it.user_id, it.status]
    sums = func.sum(it.calls).label("calls"), func.min(it.at).label("first"), func.max(it.at).label("last")
    each = select(*keys, *sums).group_by(*(literal_column(str(place + 1)) for place in range(len(keys)))).subquery().c
    at, first, last = (func.extract("epoch", each[name]) for name in ("bin", "first", "last"))
    columns = (at, each.endpoint_id, each.user_id, each.status, each.calls, first, last)
    return np.column_stack([numbers(value) for value in session.execute(select(*map(run, columns))).one()])


def _by_service(session: Session, rows: Ints) -> dict[str, Ints]:
    """Return rows of bucket, user, sort, calls, first and last by service, given rows as `_counted` returns them."""
    ids, places = np.unique(rows[:, 1], return_inverse=True)
    it = UsageEndpoint
    query = select(it.id, it.service, it.route).where(tiers.one_of(it.id, ids.tolist()))
    known = {id_: (service, route == UNMATCHED) for id_, service, route in session.execute(query)}
    names = sorted({service for service, _ in known.values()})
    of = np.array([names.index(known[id_][0]) for id_ in ids.tolist()], dtype=np.int64)[places]
    nowhere = np.array([known[id_][1] for id_ in ids.tolist()], dtype=bool)[places]
    sorts = np.where(nowhere, 0, _BY_STATUS[np.clip(rows[:, 3], 0, len(_BY_STATUS) - 1)])
    table = np.column_stack((rows[:, 0], rows[:, 2], sorts, rows[:, 4:]))
    return {name: table[of == place] for place, name in enumerate(names)}


def made(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the rows to be remembered of the buckets of `[start, end)`, by service."""
    planned = plan(session, env_id, start, end, MADE_OF[unit])
    length = int(STEPS[unit].total_seconds())
    found: dict[tuple[str, int], list[Ints]] = {}
    for (name, at), table in _stored(session, env_id, planned):
        found.setdefault((name, at - (at - int(start.timestamp())) % length), []).append(table)
    if planned.parts:
        rows = _counted(session, tiers.by_user(env_id, planned.parts, _wrong(env_id)), STEPS[unit], start)
        for name, table in _by_service(session, _to_the_hour(session, env_id, unit, planned, rows)).items():
            for at in np.unique(table[:, 0]).tolist():
                found.setdefault((name, at), []).append(table[table[:, 0] == at, 1:])
    return [
        {"env_id": env_id, "unit": unit, "service": name, "at": datetime.fromtimestamp(at, UTC), "turns": pack(piece)}
        for (name, at), tables in found.items()
        for piece in [np.column_stack(_folded(np.concatenate(tables)))]
    ]


def _to_the_hour(session: Session, env_id: int, unit: Unit, planned: Plan, rows: Ints) -> Ints:
    """Return rows that were counted by days with the hour of their first and last turn, where hours are still kept."""
    days = [Part("hour", part.start, part.end) for part in planned.parts if part.unit == "day"]
    if not days:
        return rows
    counted = _counted(session, tiers.by_user(env_id, days, _wrong(env_id)), STEPS[unit], planned.parts[0].start)
    hours = {tuple(row[:4]): row[5:] for row in counted.tolist()}
    for row in rows:
        for place, hour in enumerate(hours.get(tuple(row[:4].tolist()), ()), start=5):
            if hour - hour % _DAY == row[place] - row[place] % _DAY:
                row[place] = hour
    return rows
