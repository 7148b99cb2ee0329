"""The roll-up: what is dirty is made anew from the tier below, as often as need be, by any number of workers.

A bucket is made in one transaction of repeatable reads: what it reads is one state of the tier below, and the mark it
takes away is the one of that state. Where a fold has marked the bucket again meanwhile, PostgreSQL refuses to take the
mark away, everything is undone, and the bucket is made again later; so what is not dirty is whole, wherever a process
dies. A fold that comes to mark a bucket just then waits for the last statement and the commit, no longer.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import structlog
from psycopg import Connection, errors, sql

from trackside.runtime import Runtime
from trackside_modules.usage.storage import adding, pulse, tables
from trackside_modules.usage.storage.adding import LOCK, nowhere
from trackside_modules.usage.storage.counts import Counts, by_endpoint, by_user, joined, of_user, summed, unpacked
from trackside_modules.usage.storage.packs import Ints
from trackside_modules.usage.storage.tables import Bucket, Table
from trackside_modules.usage.storage.tiers import LENGTHS

log = structlog.get_logger(__name__)

ROLLING = 0x726F6C6C
"""Advisory lock: one roll-up at a time works on an environment."""
SETTLED = timedelta(minutes=1)
"""How long after its end a bucket is left to those who are a little late."""
PATIENCE = timedelta(minutes=10)
"""How long after its end a bucket that folds keep changing is made while the folds wait."""
_AT_ONCE = 100
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

_OVER: LiteralString = """
select count(*) from usage_dirty d
where (%(env)s::bigint is null or d.env_id = %(env)s) and d.at >= %(start)s and d.at < %(end)s and d.at <= %(now)s
    - %(settled)s - case d.tier when 'minute' then '0' when 'hour' then '1 hour' else '1 day' end::interval
"""
_DUE: LiteralString = """
select d.env_id, d.tier, d.at, d.number from usage_dirty d
where (%(env)s::bigint is null or d.env_id = %(env)s) and d.at >= %(start)s and d.at < %(end)s and (
    d.tier = 'minute' or (d.tier = 'hour' and d.at <= %(now)s - interval '1 hour' - %(settled)s)
    or (d.tier = 'day' and d.at <= %(now)s - interval '1 day' - %(settled)s and not exists (
        select from usage_dirty h where h.env_id = d.env_id and h.tier in ('minute', 'hour')
        and h.at >= d.at and h.at < d.at + interval '1 day')))
order by array_position(array['minute', 'hour', 'day'], d.tier), d.at, d.env_id limit %(limit)s
"""
_NUMBER = "select number from usage_dirty where env_id = %s and tier = %s and at = %s"
_UNROLLED = """
select 1 from usage_dirty where env_id = %s and tier in ('minute', 'hour') and at >= %s and at < %s limit 1
"""
_CLEAN = "delete from usage_dirty where env_id = %s and tier = %s and at = %s"
_READ = """
select {numbers}, string_agg(int8send(octet_length(latency)), ''::bytea), string_agg(latency, ''::bytea)
from {table} where env_id = %s and {at} >= %s and {at} < %s
"""


@dataclass(frozen=True, slots=True)
class Dirty:
    """A mark: `minute` asks for the endpoints' minutes of an hour, `hour` and `day` for the bucket of that tier."""

    env_id: int
    tier: str
    at: datetime
    number: int

    @property
    def bucket(self) -> Bucket:
        """Return the span of time it is about."""
        length = LENGTHS["day" if self.tier == "day" else "hour"]
        return Bucket(self.env_id, self.at, self.at + length)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which marks to look at: those of one environment, or of all; in `[start, end)`."""

    env_id: int | None = None
    start: datetime = _FIRST
    end: datetime = _LAST


EVERYTHING = Scope()


def due(runtime: Runtime, scope: Scope = EVERYTHING, limit: int = _AT_ONCE) -> list[Dirty]:
    """Return marks of buckets that are over and whose own tier below is made, the oldest first."""
    with runtime.database.pool.connection() as connection:
        rows = connection.execute(_DUE, _values(runtime, scope) | {"limit": limit})
        return [Dirty(*row) for row in rows]


def _values(runtime: Runtime, scope: Scope) -> dict[str, Any]:
    now = runtime.clock.now()
    return {"env": scope.env_id, "start": scope.start, "end": scope.end, "now": now, "settled": SETTLED}


def count(runtime: Runtime, scope: Scope) -> int:
    """Return how many buckets of a scope are over and still dirty."""
    with runtime.database.pool.connection() as connection:
        row = connection.execute(_OVER, _values(runtime, scope)).fetchone()
    return row[0] if row else 0


def run(runtime: Runtime, seconds: float, scope: Scope = EVERYTHING) -> Iterator[Dirty]:
    """Make what is due until nothing is left, or for `seconds`; yield each bucket once it is made."""
    ends = time.monotonic() + seconds
    while True:
        made = 0
        for dirty in due(runtime, scope):
            if time.monotonic() >= ends:
                return
            if roll(runtime, dirty):
                made += 1
                yield dirty
        if not made:
            return


def roll(runtime: Runtime, dirty: Dirty) -> bool:
    """Make a bucket; return whether that was done, or had been. It was not where a fold or another roll-up was at it.

    A bucket long over that still changes is made with the folds of its environment waiting, so that it gets its turn.
    """
    if dirty.tier != "minute":
        # On its own, while the mark stands: nobody remembers a bucket that is marked (see `pulse`).
        with runtime.database.pool.connection() as connection:
            pulse.forget(connection, dirty.env_id, dirty.tier, [dirty.at])
        if _roll(runtime, dirty):
            return True
        if runtime.clock.now() < dirty.bucket.end + PATIENCE:
            return False
    with runtime.database.pool.connection() as guard, guard.transaction():
        # Held by a connection of its own: the other must begin its snapshot after this lock is taken. Should this one
        # break, the marks still tell of a fold in between, and the endpoints' minutes are made in a transaction that
        # such a fold would make fail.
        guard.execute("select pg_advisory_xact_lock(%s, %s)", (LOCK, dirty.env_id))
        return _roll(runtime, dirty)


def _roll(runtime: Runtime, dirty: Dirty) -> bool:
    try:
        with runtime.database.pool.connection() as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            lock = connection.execute("select pg_try_advisory_xact_lock(%s, %s)", (ROLLING, dirty.env_id)).fetchone()
            if not lock or not lock[0]:
                return False
            mark = (dirty.env_id, dirty.tier, dirty.at)
            if not connection.execute(_NUMBER, mark).fetchone():
                return True
            # Asked again in this snapshot: a fold may have marked an hour since the day was found to be due.
            if dirty.tier == "day" and connection.execute(_UNROLLED, dirty.bucket).fetchone():
                return False
            _make(connection, dirty)
            connection.execute(_CLEAN, mark)
    except (errors.SerializationFailure, errors.UniqueViolation, errors.DeadlockDetected):
        log.info("usage.rollup_again", env_id=dirty.env_id, tier=dirty.tier, at=dirty.at.isoformat())
        return False
    return True


def _make(connection: Connection[Any], dirty: Dirty) -> None:
    """Make the rows of a bucket, unless what they are made of is no longer kept: then they are the truth."""
    begin, bucket = adding.borders(connection), dirty.bucket
    below, source = (begin.hours, tables.HOUR) if dirty.tier == "day" else (begin.minutes, tables.MINUTE)
    if bucket.start.timestamp() < below:
        return
    counts = read(connection, source, bucket, None if dirty.tier == "minute" else bucket.start)
    if dirty.tier == "minute":
        tables.put(connection, bucket, tables.ENDPOINT_MINUTE, by_endpoint(counts))
        return
    detail, endpoints, users = (
        (tables.DAY, tables.ENDPOINT_DAY, tables.USER_DAY)
        if dirty.tier == "day"
        else (tables.HOUR, tables.ENDPOINT_HOUR, tables.USER_HOUR)
    )
    tables.put(connection, bucket, detail, by_user(counts))
    tables.put(connection, bucket, endpoints, by_endpoint(counts))
    tables.put(connection, bucket, users, of_user(counts, nowhere(connection, bucket.env_id)))


def read(connection: Connection[Any], table: Table, bucket: Bucket, into: datetime | None) -> Counts:
    """Return what a table by user holds of a bucket: by its own times, or all of it at `into`.

    It is read in pieces that are summed up as they come, so that a day of a million rows takes the memory of its
    busiest hour.
    """
    piece = timedelta(hours=1) if bucket.end - bucket.start > timedelta(hours=1) else timedelta(minutes=15)
    found: Counts | None = None
    start = bucket.start
    while start < bucket.end:
        part = _piece(connection, table, Bucket(bucket.env_id, start, start + piece))
        if into is not None:
            part = part.at_one(int(into.timestamp()))
        found = summed(part if found is None else joined(found, part))
        start += piece
    assert found is not None
    return found


def _piece(connection: Connection[Any], table: Table, bucket: Bucket) -> Counts:
    """Return the rows of a span of time: whole columns come as bytes, which numpy reads at once."""
    row = connection.execute(_query(table), bucket).fetchone()
    assert row is not None
    *numbers, sizes, data = (value or b"" for value in row)
    at, endpoint, user, status, calls, micros, longest, approximate = map(_numbers, numbers)
    stops = np.cumsum(_numbers(sizes)).tolist()
    packs = [data[start:stop] for start, stop in zip([0, *stops][:-1], stops, strict=True)]
    return Counts(at, endpoint, user, status, calls, micros, longest, approximate, unpacked(packs))


def _query(table: Table) -> sql.Composed:
    at = sql.Identifier(table.keys[0])
    values = (
        sql.SQL("extract(epoch from {})::bigint").format(at),
        *map(sql.Identifier, (*table.keys[1:], "calls", "micros", "longest")),
        sql.SQL("approximate::int"),
    )
    numbers = sql.SQL(", ").join(sql.SQL("string_agg(int8send({}), ''::bytea)").format(value) for value in values)
    return sql.SQL(_READ).format(numbers=numbers, table=sql.Identifier(table.name), at=at)


def _numbers(data: bytes) -> Ints:
    return np.frombuffer(data, dtype=">i8").astype(np.int64)
