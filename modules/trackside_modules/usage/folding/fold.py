"""The fold: what lies in the inbox is added to the counts, and marked as applied, in one transaction.

One fold at a time works on an environment (an advisory lock that ends with the transaction, so a killed one holds
nothing). A crash at any point leaves either all of a batch's effects or none. A batch that cannot be applied is found
by halving, tried three times, then set aside; the others are applied without it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg import Connection
from psycopg_pool import PoolTimeout

from trackside.runtime import Runtime
from trackside_modules.usage.folding import (
    counting,
    identities,
    live,
    people,
    releases,
    seen,
    sources,
    streams,
    warnings,
)
from trackside_modules.usage.folding.takeover import Takeover, due
from trackside_modules.usage.ingest.batch import Batch, Calls, unpack
from trackside_modules.usage.storage import adding
from trackside_modules.usage.storage.adding import LOCK
from trackside_modules.usage.storage.counts import Counts

log = structlog.get_logger(__name__)

TRIES = 3
_RETRY_AFTER = timedelta(seconds=2)
_BATCHES, _BYTES = 500, 8 * 2**20

TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""Errors that say nothing about a batch: the database is away, full, restarting, or ended the statement."""

_LOCK = "select pg_try_advisory_xact_lock(%s, %s), pg_advisory_xact_lock_shared(%s)"
_WAITING = """
select id, received_at, body from (
    select id, received_at, body,
        sum(octet_length(body)) over (order by id) as upto, row_number() over (order by id) as n
    from (
        select id, received_at, body from usage_inbox
        where env_id = %(env)s and applied_at is null and dead_at is null
            and (retry_at is null or retry_at <= %(now)s) and (%(only)s::bigint[] is null or id = any(%(only)s))
        order by id limit %(batches)s
    ) first
) sized where upto <= %(bytes)s or n = 1 order by id
"""
_FAILED = """
update usage_inbox set attempts = attempts + 1, error = %(error)s, retry_at = %(retry)s,
    dead_at = case when attempts + 1 >= %(tries)s then %(now)s end
where env_id = %(env)s and id = %(id)s and applied_at is null returning dead_at is not null
"""
_NUMBER = """
insert into usage_fold (env_id, number, folded_at) values (%(env)s, %(number)s, %(now)s)
on conflict (env_id) do update
set number = greatest(usage_fold.number + 1, excluded.number), folded_at = excluded.folded_at returning number
"""

Waiting = tuple[int, datetime, bytes]
"""Id, time of arrival and body of an inbox row."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What one transaction did: the number before and its own, how many batches, and what it changed."""

    previous: int
    number: int
    batches: int
    change: live.Change


@dataclass(slots=True)
class _Taken:
    """The rows a transaction has taken, known also after it failed."""

    ids: list[int] = field(default_factory=list)


def run(runtime: Runtime, env_id: int) -> int:
    """Apply everything that waits in an environment's inbox, and return how many batches that was.

    Returns at once when another process is at it. Raises what `TRANSIENT` names when the database is away.
    """
    total = 0
    while True:
        applied = 0
        for folded in _fold(runtime, env_id, None):
            applied += folded.batches
            live.tell(runtime, env_id, folded.previous, folded.number, folded.change)
        total += applied
        if not applied:
            return total


def _fold(runtime: Runtime, env_id: int, only: list[int] | None) -> Iterator[Folded]:
    """Apply what waits (of `only` these rows, where given), halving around batches that cannot be applied."""
    taken = _Taken()
    try:
        folded = _transaction(runtime, env_id, only, taken)
        if folded:
            yield folded
        return
    except TRANSIENT:
        raise
    except Exception as error:
        if not taken.ids:
            raise
        if len(taken.ids) == 1:
            _failed(runtime, env_id, taken.ids[0], error)
            return
    middle = len(taken.ids) // 2
    yield from _fold(runtime, env_id, taken.ids[:middle])
    yield from _fold(runtime, env_id, taken.ids[middle:])


def _transaction(runtime: Runtime, env_id: int, only: list[int] | None, taken: _Taken) -> Folded | None:
    now = runtime.clock.now()
    with runtime.database.pool.connection() as connection, connection.transaction():
        row = connection.execute(_LOCK, (LOCK, env_id, adding.KEEPING)).fetchone()
        if not row or not row[0]:
            return None
        values = {"env": env_id, "now": now, "only": only, "batches": _BATCHES, "bytes": _BYTES}
        waiting: list[Waiting] = connection.execute(_WAITING, values).fetchall()
        if not waiting and (only is not None or env_id not in due(connection, now)):
            return None
        taken.ids = [id_ for id_, _, _ in waiting]
        previous, number = _count(connection, env_id, now)
        counts = apply(connection, env_id, waiting, now)
        connection.execute(
            "update usage_inbox set applied_at = %s, retry_at = null where env_id = %s and id = any(%s)",
            (now, env_id, taken.ids),
        )
        adding.add(connection, env_id, counts, number)
    since = int(now.timestamp()) // 60 - live.KEPT_MINUTES
    return Folded(previous, number, len(waiting), live.change(counts, since))


def _count(connection: Connection[Any], env_id: int, now: datetime) -> tuple[int, int]:
    """Return the number of the fold before this one, and this one's: rising, also after a restored backup."""
    row = connection.execute("select number from usage_fold where env_id = %s", (env_id,)).fetchone()
    values = {"env": env_id, "number": int(now.timestamp() * 1000), "now": now}
    made = connection.execute(_NUMBER, values).fetchone()
    assert made is not None
    return row[0] if row else 0, made[0]


def _failed(runtime: Runtime, env_id: int, id_: int, error: Exception) -> None:
    """Remember that a batch could not be applied; set it aside at the last try."""
    now = runtime.clock.now()
    about = f"{type(error).__name__}: {error}".splitlines()[0][:180].replace("\x00", "")
    log.warning("usage.batch_failed", env_id=env_id, id=id_, error=type(error).__name__)
    values = {"env": env_id, "id": id_, "error": about, "retry": now + _RETRY_AFTER, "now": now, "tries": TRIES}
    with runtime.database.pool.connection() as connection, connection.transaction():
        row = connection.execute(_FAILED, values).fetchone()
        if row and row[0]:
            warnings.note(connection, env_id, {("dead-batch", about): 1}, now)


def apply(connection: Connection[Any], env_id: int, waiting: list[Waiting], now: datetime) -> Counts:
    """Note what batches say within the caller's transaction, and return what they add to the counts."""
    batches = [(received, unpack(body)) for _, received, body in waiting]
    noticed: Counter[tuple[str, str]] = Counter()
    for _, batch in batches:
        noticed.update({(notice.kind, notice.about): notice.points for notice in batch.notices})
    releases.note(connection, env_id, ((received, it) for received, batch in batches for it in batch.releases))
    takeover = Takeover(connection, env_id, batches)
    calls = [each for _, batch in batches for each in batch.calls if takeover.counts(each)]
    calls += _settled(connection, env_id, batches, noticed, now, takeover=takeover)
    told, lost = takeover.from_spans(now)
    calls += told
    if lost:
        noticed["spans-lost", ""] += lost
    counts = counting.count(connection, env_id, (calls, [batch for _, batch in batches]), noticed, now)
    identities.touch(connection, counts, now)
    sources.note(connection, env_id, batches)
    people.note(connection, [it for _, batch in batches for it in batch.people])
    seen.note(connection, env_id, [batch for _, batch in batches], now)
    warnings.note(connection, env_id, noticed, now)
    return counts


def _settled(
    connection: Connection[Any],
    env_id: int,
    batches: list[tuple[datetime, Batch]],
    noticed: Counter[tuple[str, str]],
    now: datetime,
    *,
    takeover: Takeover,
) -> list[Calls]:
    """Return what cumulative streams add, and move them on."""
    read = [(received, reading) for received, batch in batches for reading in batch.readings]
    stands = streams.load(connection, env_id, ((it.stream, it.start) for _, it in read))
    moved: dict[streams.Key, Any] = {}
    found: list[Calls] = []
    for received, reading in read:
        key = (reading.stream, reading.start)
        last = stands.get(key)
        settled = streams.settle(last, reading, int(received.timestamp() * 1e9))
        if not settled.moves:
            continue
        stands[key] = moved[key] = reading
        whole = settled.calls is not None
        if takeover.counts_reading(last, reading, received, whole=whole) and settled.calls:
            found.append(settled.calls)
        if settled.notice:
            noticed[settled.notice, reading.subject.service] += 1
    streams.save(connection, env_id, moved, now)
    return found
