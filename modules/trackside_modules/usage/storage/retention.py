"""How long counts are kept: the partitions of a tier go once the tier above holds all that was in them.

The border of a tier is moved first, alone: a lock that every fold shares makes it wait for the folds going on, and
those that come after see the new border and write nothing before it (see `adding`). The border never passes a bucket
that is still to be made from what lies behind it. Only then are the partitions dropped, at leisure: nobody writes to
them any more, and whoever reads them holds up the drop, not the other way round.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import structlog
from psycopg import Connection, errors, sql

from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside_modules.usage.storage.adding import KEEPING
from trackside_modules.usage.storage.partitions import FORMATS, PERIODS, TABLES, bounds
from trackside_modules.usage.storage.tiers import Unit

log = structlog.get_logger(__name__)

_TRIES = 5
_MADE_OF: dict[Unit, tuple[str, ...]] = {"minute": ("minute", "hour"), "hour": ("minute", "hour", "day"), "day": ()}
"""The marks of what is still to be made from a tier, or from the one below it."""
_OLDEST_MARK = "select min(at) from usage_dirty where tier = any(%s) and at < %s"
_MOVE = """
insert into usage_horizon (tier, kept_from) values (%s, %s) on conflict (tier) do update
set kept_from = excluded.kept_from where usage_horizon.kept_from < excluded.kept_from
"""
_BORDERS: LiteralString = "select tier, kept_from from usage_horizon"
_PARTITIONS = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = %s::regclass order by c.relname
"""


def keep(settings: Settings) -> Mapping[Unit, timedelta]:
    """Return how long each tier is kept; one that is kept for ever is absent."""
    days = {"minute": settings.usage_keep_minutes, "hour": settings.usage_keep_hours, "day": settings.usage_keep_days}
    return {unit: timedelta(days=days[unit]) for unit in TABLES if days[unit]}


def run(runtime: Runtime) -> list[str]:
    """Move the borders as far as the settings say, and drop what lies behind them; return what was dropped."""
    now = runtime.clock.now()
    dropped: list[str] = []
    with runtime.database.pool.connection() as connection:
        for unit, length in keep(runtime.settings).items():
            try:
                border = _move(connection, unit, now - length)
            except errors.LockNotAvailable:
                log.warning("usage.retention_waits", tier=unit)
                continue
            if border:
                dropped += [name for name in _behind(connection, unit, border) if _drop(connection, name)]
    return dropped


def _move(connection: Connection[Any], unit: Unit, wanted: datetime) -> datetime | None:
    """Move the border of a tier to the start of the partition that `wanted` falls into, or as far as may be."""
    with connection.transaction():
        connection.execute("set local lock_timeout = '10s'")
        connection.execute("select pg_advisory_xact_lock(%s)", (KEEPING,))
        known = dict(connection.execute(_BORDERS).fetchall())
        border = bounds(PERIODS[unit], wanted)[0]
        if unit == "hour" and "minute" in known:  # an hour that is still made of minutes is not at its end
            border = min(border, bounds(PERIODS[unit], known["minute"])[0])
        oldest = connection.execute(_OLDEST_MARK, (list(_MADE_OF[unit]), border)).fetchone()
        if oldest and oldest[0]:
            border = bounds(PERIODS[unit], oldest[0])[0]
        # What came in never lies before the first partition: without one there is no border to keep.
        first = next(_starts(connection, unit), None)
        if unit in known or (first and first < border):
            connection.execute(_MOVE, (unit, border))
        return max(border, known[unit]) if unit in known else border


def _starts(connection: Connection[Any], unit: Unit) -> Iterator[datetime]:
    for table in TABLES[unit]:
        for (name,) in connection.execute(_PARTITIONS, (table,)).fetchall():
            yield _start(unit, table, name)


def _behind(connection: Connection[Any], unit: Unit, border: datetime) -> list[str]:
    """Return the partitions that end at the border or before it."""
    found = []
    for table in TABLES[unit]:
        for (name,) in connection.execute(_PARTITIONS, (table,)).fetchall():
            if bounds(PERIODS[unit], _start(unit, table, name))[1] <= border:
                found.append(name)
    return found


def _start(unit: Unit, table: str, name: str) -> datetime:
    return datetime.strptime(name.removeprefix(table + "_"), FORMATS[PERIODS[unit]]).replace(tzinfo=UTC)


def _drop(connection: Connection[Any], name: str) -> bool:
    """Drop a partition, unless someone reads its table all the time: then it goes at the next tidy.

    While the drop waits, all who come later wait behind it: so it waits for a moment only, several times.
    """
    for _ in range(_TRIES):
        try:
            with connection.transaction():
                connection.execute("set local lock_timeout = '200ms'")
                connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(name)))
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            continue
        return True
    log.warning("usage.retention_busy", partition=name)
    return False
