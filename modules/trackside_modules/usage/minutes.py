"""`usage_minute`: adding to it, and making its days. Only the fold calls this, holding its environment's lock."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection, sql

from trackside_modules.usage.histogram import Histogram, merge, pack, unpack

_DAYS_LOCK = 0x75736765
_EXISTING = """
select m.minute, m.endpoint_id, m.user_id, m.status, m.latency from usage_minute m
join unnest(%s::timestamptz[], %s::bigint[], %s::bigint[], %s::smallint[]) as k (minute, endpoint_id, user_id, status)
using (minute, endpoint_id, user_id, status) where m.env_id = %s
"""
_ADD = """
insert into usage_minute
    (env_id, minute, endpoint_id, user_id, status, calls, micros, longest, latency, approximate)
select %s, it.* from unnest(%s::timestamptz[], %s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bytea[], %s::boolean[]) as it
on conflict (env_id, minute, endpoint_id, user_id, status) do update set
    calls = usage_minute.calls + excluded.calls,
    micros = usage_minute.micros + excluded.micros,
    longest = greatest(usage_minute.longest, excluded.longest),
    latency = excluded.latency,
    approximate = usage_minute.approximate or excluded.approximate
"""


class Cell(NamedTuple):
    """The key of a row within its environment; `minute` counts from 1970."""

    minute: int
    endpoint_id: int
    user_id: int
    status: int


class Tally(msgspec.Struct, gc=False):
    """What is added to a row: times in microseconds."""

    calls: int = 0
    micros: int = 0
    longest: int = 0
    latency: Histogram = {}
    approximate: bool = False


def when(minute: int) -> datetime:
    """Return the start of a minute counted from 1970."""
    return datetime.fromtimestamp(minute * 60, UTC)


def add(connection: Connection[Any], env_id: int, tallies: dict[Cell, Tally]) -> None:
    """Add to the rows of `tallies`, making those that are not there yet, and the days they fall on."""
    if not tallies:
        return
    ensure_days(connection, {when(cell.minute) for cell in tallies})
    cells = sorted(tallies)
    keys = [list(column) for column in zip(*cells, strict=True)]
    keys[0] = list(map(when, keys[0]))
    latencies = {cell: tallies[cell].latency for cell in cells}
    for minute, endpoint_id, user_id, status, packed in connection.execute(_EXISTING, (*keys, env_id)):
        cell = Cell(int(minute.timestamp()) // 60, endpoint_id, user_id, status)
        latencies[cell] = merge(unpack(packed), latencies[cell])
    rows = [tallies[cell] for cell in cells]
    connection.execute(
        _ADD,
        (
            env_id,
            *keys,
            [row.calls for row in rows],
            [row.micros for row in rows],
            [row.longest for row in rows],
            [pack(latencies[cell]) for cell in cells],
            [row.approximate for row in rows],
        ),
    )


def ensure_days(connection: Connection[Any], moments: Iterable[datetime]) -> None:
    """Make the partitions that `moments` fall into, where they are missing.

    A day is made beside the table and then attached, which does not lock out its readers. The lock keeps two
    environments' folds from making the same one.
    """
    days = sorted({moment.astimezone(UTC).date() for moment in moments})
    names = [f"usage_minute_{day:%Y%m%d}" for day in days]
    found = connection.execute("select n, to_regclass(n) is null from unnest(%s::text[]) n", (names,)).fetchall()
    missing = {name for name, absent in found if absent}
    if not missing:
        return
    connection.execute("select pg_advisory_xact_lock(%s)", (_DAYS_LOCK,))
    for day, name in zip(days, names, strict=True):
        absent = connection.execute("select to_regclass(%s) is null", (name,)).fetchone()
        if name in missing and absent and absent[0]:
            table, start = sql.Identifier(name), datetime(day.year, day.month, day.day, tzinfo=UTC)
            make = "create table {} (like usage_minute including defaults including constraints)"
            attach = "alter table usage_minute attach partition {} for values from ({}) to ({})"
            connection.execute(sql.SQL(make).format(table))
            ends = sql.Literal(start), sql.Literal(start + timedelta(days=1))
            connection.execute(sql.SQL(attach).format(table, *ends))
