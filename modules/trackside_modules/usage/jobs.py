"""Work done by the workers: fold what was accepted, and put away what is no longer needed."""

import time
from datetime import datetime, timedelta
from typing import LiteralString

import structlog
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from trackside.events import AccountErased, UserErased
from trackside.runtime import Runtime
from trackside.workspace import environments
from trackside_modules.usage.folding import fold as folding
from trackside_modules.usage.folding import live, seen, sources, takeover
from trackside_modules.usage.storage import memories, partitions, pulse, retention, rollup

log = structlog.get_logger(__name__)

LINGER = 4.6
"""Seconds a fold stays and looks for more: just short of the next tick, so that workers rarely fork."""
POLL = 0.25
ROLLS = 100.0
"""Seconds the roll-up goes on where there is much to do."""
KEEP_BODIES, KEEP_BATCHES, KEEP_STREAMS = timedelta(hours=24), timedelta(days=30), timedelta(days=8)
KEEP_FOLLOWS = timedelta(days=400)

_WAITING = """
select id from environment e where exists (
    select from usage_inbox i where i.env_id = e.id and i.applied_at is null and i.dead_at is null
        and (i.retry_at is null or i.retry_at <= %s))
"""
_FORGET = """
delete from usage_inbox where (applied_at is not null or dead_at is not null)
    and received_at <= (select max(erased_at) from customer_tombstone)
"""
_FORGET_SAMPLES = """
delete from usage_sample s using customer_user u where u.id = s.user_id and u.erased_at is not null
"""
_PUT_AWAY: tuple[tuple[LiteralString, timedelta], ...] = (
    ("delete from usage_inbox where applied_at < %s", KEEP_BODIES),
    ("delete from usage_batch where received_at < %s", KEEP_BATCHES),
    ("delete from usage_stream where seen_at < %s", KEEP_STREAMS),
    ("delete from usage_sample where at < %s", seen.KEEP),
    ("delete from usage_error_hour where at < %s", seen.KEEP_GROUPS),
    ("delete from usage_error_sum where at < %s", seen.KEEP_GROUPS),
    ("delete from usage_error where last_seen_at < %s", seen.KEEP_GROUPS),
    ("delete from usage_instance where last_seen_at < %s", sources.KEEP_INSTANCES),
    ("delete from usage_trail_last where at < 1000 * extract(epoch from %s::timestamptz)", KEEP_BODIES),
    ("delete from usage_follow where day < %s::date", KEEP_FOLLOWS),
)


def waiting(runtime: Runtime) -> list[int]:
    """Return the environments with something in the inbox."""
    with runtime.database.pool.connection() as connection:
        now = runtime.clock.now()
        return sorted({env_id for (env_id,) in connection.execute(_WAITING, (now,))} | takeover.due(connection, now))


def fold(runtime: Runtime, linger: float = LINGER) -> None:
    """Apply what waits, then stay for `linger` seconds and apply what comes, within a quarter of a second.

    A database that is away ends the job: what waits is still in the inbox at the next tick.
    """
    ends = time.monotonic() + linger
    try:
        for env_id in _environments(runtime):
            live.check(runtime, env_id)
        while True:
            for env_id in waiting(runtime):
                folding.run(runtime, env_id)
            if time.monotonic() + POLL >= ends:
                return
            time.sleep(POLL)
    except (OperationalError, PoolTimeout) as error:
        log.warning("usage.fold_paused", error=type(error).__name__)


def _environments(runtime: Runtime) -> list[int]:
    with runtime.database.pool.connection() as connection:
        return [env_id for (env_id,) in connection.execute("select env_id from usage_fold")]


def forget(runtime: Runtime, _event: UserErased | AccountErased | None = None) -> None:
    """Drop bodies that came before the last erasure, and samples of the erased. What waits goes at the next tidy."""
    with runtime.database.pool.connection() as connection:
        connection.execute(_FORGET)
        connection.execute(_FORGET_SAMPLES)


def remember(runtime: Runtime) -> None:
    """Keep what the last minutes, and each hour, day and week that is over came to, for the pages (see `memory`)."""
    with runtime.database.sessions() as session:
        for environment in environments(session):
            memories.fill_minutes(session, environment.id, runtime.clock.now())
            memories.fill(session, environment.id, runtime.clock.now())
            pulse.fill(session, environment.id, runtime.clock.now())


def roll_up(runtime: Runtime, seconds: float = ROLLS) -> None:
    """Make the hours and days that changed, and stop after `seconds`: the next tick goes on."""
    try:
        for dirty in rollup.run(runtime, seconds):
            log.debug("usage.rolled", tier=dirty.tier, env_id=dirty.env_id, at=dirty.at.isoformat())
    except (OperationalError, PoolTimeout) as error:
        log.warning("usage.rollup_paused", error=type(error).__name__)


def tidy(runtime: Runtime) -> None:
    """Drop bodies a day after they were applied and batch names after 30 days; make the next days' partitions.

    What of the counts is older than the settings say goes, once the tier above holds the same (see `retention`).
    """
    now = runtime.clock.now()
    forget(runtime)
    with runtime.database.pool.connection() as connection:
        with connection.transaction():
            for unit in partitions.TABLES:
                partitions.ensure(connection, unit, (now + timedelta(days=ahead) for ahead in range(3)))
        for statement, kept in _PUT_AWAY:
            connection.execute(statement, (now - kept,))
    retention.run(runtime)


def demo_history(runtime: Runtime, until: str) -> None:
    """Write the demo's past up to a moment, once."""
    from trackside_modules.usage.demo import history

    history.write(runtime, datetime.fromisoformat(until))
