"""What `trackside doctor` looks at: each finding says how things stand and, where needed, what to do.

Modules add lines through `Module.checks`. A check that itself fails is a finding, not a crash.
"""

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from trackside import migrate
from trackside.errors import cause_of
from trackside.jobs import queries
from trackside.module import resolve
from trackside.runtime import Runtime

State = Literal["ok", "warning", "problem"]
OLDEST_POSTGRES = 150000
SKEW_WARNING = 2.0
"""Seconds between our clock and PostgreSQL's from which times on pages mislead."""
DISK_WARNING = 0.10
DISK_PROBLEM = 0.03
ABANDONED = 600
"""Seconds for which a task may be due in a queue that has no worker: one may be starting."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: `fix` is empty where all is well."""

    name: str
    state: State
    message: str
    fix: str = ""


def examine(runtime: Runtime) -> Iterator[Finding]:
    """Yield a finding for every check of the kernel and of the modules, one after the other."""
    for name, check in CHECKS:
        yield _run(name, check, runtime)
    for each in runtime.registry.each(lambda m: m.checks):
        yield _run(each.name, resolve(each.run), runtime)


def _run(name: str, check: Callable[[Runtime], Finding], runtime: Runtime) -> Finding:
    try:
        return check(runtime)
    except (SQLAlchemyError, RedisError, OSError) as error:
        fix = "Mend what the database or Redis check says, then run this again."
        return Finding(name, "problem", cause_of(error), fix)


def settings(runtime: Runtime) -> Finding:
    """Say which switches are unusual; wrong values never get this far."""
    if runtime.settings.development:
        fix = "Unset TRACKSIDE_DEVELOPMENT in production."
        return Finding("settings", "warning", "Development mode is on.", fix)
    if not runtime.settings.secure and not _local(runtime.settings.base_url):
        fix = "Put a proxy with TLS in front and set TRACKSIDE_BASE_URL=https://... (docs/operations.md)."
        return Finding("settings", "warning", f"Browsers use {runtime.settings.base_url}, without TLS.", fix)
    return Finding("settings", "ok", "Every setting is understood.")


def _local(url: str) -> bool:
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0] or url.partition("://")[2]
    return host in {"127.0.0.1", "localhost", "[::1]"}


def database(runtime: Runtime) -> Finding:
    """Say whether PostgreSQL answers and is new enough."""
    with runtime.database.engine.connect() as connection:
        number = int(connection.execute(text("show server_version_num")).scalar_one())
        size = connection.execute(text("select pg_size_pretty(pg_database_size(current_database()))")).scalar_one()
    version = f"PostgreSQL {number // 10000}.{number % 10000}, {size}"
    if number < OLDEST_POSTGRES:
        return Finding("database", "problem", f"{version} is too old.", "Upgrade to PostgreSQL 15 or later.")
    return Finding("database", "ok", f"{version}.")


def clock(runtime: Runtime) -> Finding:
    """Compare our clock with PostgreSQL's."""
    with runtime.database.engine.connect() as connection:
        theirs: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew > SKEW_WARNING:
        fix = "Keep both machines on network time (chrony, systemd-timesyncd)."
        return Finding("clock", "warning", f"The database's clock is {skew:.1f} s away from ours.", fix)
    return Finding("clock", "ok", f"{skew * 1000:.0f} ms from the database's clock.")


def migrations(runtime: Runtime) -> Finding:
    """Say whether the database has this version's tables."""
    found, wanted = migrate.current(runtime.database.engine), migrate.head()
    if found != wanted:
        message = f"The database is at {found or 'nothing'}, this version needs {wanted}."
        return Finding("migrations", "problem", message, "Run `trackside db upgrade`.")
    return Finding("migrations", "ok", f"At {found}, the newest.")


def redis(runtime: Runtime) -> Finding:
    """Say whether Redis answers."""
    info = runtime.redis.live.info("server")
    runtime.redis.queue.ping()
    runtime.redis.pubsub.ping()
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return Finding("redis", "ok", f"{name} {info.get('valkey_version') or info['redis_version']}.")


def redis_persistence(runtime: Runtime) -> Finding:
    """Say whether queues survive a kill of Redis."""
    info = runtime.redis.queue.info("persistence")
    if not info.get("aof_enabled"):
        fix = "Set `appendonly yes` (with `appendfsync everysec`) on the server of the queues."
        message = "Redis writes no append-only file: a kill empties the queues until the sweeper rings again."
        return Finding("redis persistence", "warning", message, fix)
    return Finding("redis persistence", "ok", "The append-only file is on.")


def redis_eviction(runtime: Runtime) -> Finding:
    """Say whether Redis may throw queues away when memory runs short."""
    policy = runtime.redis.queue.info("memory").get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        fix = "Set `maxmemory-policy noeviction` on the server of the queues."
        return Finding("redis eviction", "problem", f"The policy {policy} may evict job queues.", fix)
    return Finding("redis eviction", "ok", "Nothing is evicted.")


def workers(runtime: Runtime) -> Finding:
    """Say whether tasks wait in a queue that has no worker."""
    with runtime.database.session() as session:
        left = [
            each.name for each in queries.queue_states(runtime, session) if each.workers == 0 and each.late > ABANDONED
        ]
    if left:
        message = f"Tasks are due for more than {ABANDONED // 60} minutes and no worker looks at: {', '.join(left)}."
        fix = f"Start {' and '.join(f'`trackside worker {name}`' for name in left)} (docs/operations.md)."
        return Finding("workers", "problem", message, fix)
    return Finding("workers", "ok", "No queue with late tasks lacks a worker.")


def secrets(runtime: Runtime) -> Finding:
    """Say whether others on this machine can read the data folder."""
    folder = runtime.settings.data
    if not folder.is_dir():
        return Finding("secrets", "ok", "No data folder: secrets come from the environment.")
    readable = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH)
    ]
    if readable and folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH):
        fix = f"Run `chmod 700 {folder}`."
        return Finding("secrets", "warning", f"Others on this machine can read {', '.join(readable)}.", fix)
    return Finding("secrets", "ok", f"{folder} is private.")


def disk(runtime: Runtime) -> Finding:
    """Say how full the disk of the data folder is."""
    folder = runtime.settings.data if runtime.settings.data.is_dir() else runtime.settings.data.absolute().parent
    usage = shutil.disk_usage(folder if folder.is_dir() else "/")
    free = usage.free / usage.total
    message = f"{usage.free / 2**30:.1f} GiB free ({free:.0%})."
    if free < DISK_PROBLEM:
        return Finding("disk", "problem", message, "Free some space now: a full disk stops every write.")
    if free < DISK_WARNING:
        return Finding("disk", "warning", message, "Free some space, or move the data to a larger disk.")
    return Finding("disk", "ok", message)


CHECKS: tuple[tuple[str, Callable[[Runtime], Finding]], ...] = (
    ("settings", settings),
    ("database", database),
    ("clock", clock),
    ("migrations", migrations),
    ("redis", redis),
    ("redis persistence", redis_persistence),
    ("redis eviction", redis_eviction),
    ("workers", workers),
    ("secrets", secrets),
    ("disk", disk),
)
