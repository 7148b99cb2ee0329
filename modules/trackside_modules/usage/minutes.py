"""`usage_minute`: adding to it. Only the fold calls this, holding its environment's lock."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from trackside_modules.usage import partitions
from trackside_modules.usage.histogram import Histogram, merge, pack, unpack

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
    partitions.ensure(connection, "minute", {when(cell.minute) for cell in tallies})
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
