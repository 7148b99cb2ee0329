"""The partitions of the tiers: minutes by day, hours by month, days by year; made where a row needs one, and ahead."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg import Connection, sql

from trackside_modules.usage.storage.tiers import Unit

Period = Literal["day", "month", "year"]

PERIODS: dict[Unit, Period] = {"minute": "day", "hour": "month", "day": "year"}
"""How long a partition of each tier is."""
TABLES: dict[Unit, tuple[str, ...]] = {
    "minute": ("usage_minute", "usage_endpoint_minute"),
    "hour": ("usage_hour", "usage_endpoint_hour", "usage_user_hour"),
    "day": ("usage_day", "usage_endpoint_day", "usage_user_day"),
}
"""The tables of each tier."""
FORMATS: dict[Period, str] = {"day": "%Y%m%d", "month": "%Y%m", "year": "%Y"}
"""What the name of a partition ends in."""
_FILL: dict[Unit, int] = {"minute": 60, "hour": 100, "day": 100}
"""Percent of a page that is filled at first: folds change the rows of a minute again and again, in place where there is
room, which costs PostgreSQL half as much."""
_LOCK = 0x75736765


def bounds(period: Period, moment: datetime) -> tuple[datetime, datetime]:
    """Return the start and end of the day, month or year (UTC) that `moment` falls into."""
    at = moment.astimezone(UTC)
    if period == "year":
        return datetime(at.year, 1, 1, tzinfo=UTC), datetime(at.year + 1, 1, 1, tzinfo=UTC)
    if period == "month":
        after = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
        return datetime(at.year, at.month, 1, tzinfo=UTC), datetime(*after, 1, tzinfo=UTC)
    start = datetime(at.year, at.month, at.day, tzinfo=UTC)
    return start, datetime.fromtimestamp(start.timestamp() + 86_400, UTC)


def name(table: str, period: Period, start: datetime) -> str:
    """Return what the partition that starts at `start` is called, e.g. `usage_hour_202611`."""
    return f"{table}_{start:{FORMATS[period]}}"


def ensure(connection: Connection[Any], unit: Unit, moments: Iterable[datetime]) -> None:
    """Make the partitions of a tier's tables that `moments` fall into, where they are missing.

    A partition is made beside the table and then attached, which does not lock out its readers. The lock keeps two
    environments' folds from making the same one.
    """
    wanted = dict(_wanted(unit, moments))
    query = "select n from unnest(%s::text[]) n where to_regclass(n) is null"
    missing = {n for (n,) in connection.execute(query, (list(wanted),))}
    if not missing:
        return
    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
    for (absent,) in connection.execute(query, (sorted(missing),)).fetchall():
        table, start, end = wanted[absent]
        parent, made = sql.Identifier(table), sql.Identifier(absent)
        create = "create table {} (like {} including defaults including constraints) with (fillfactor = {})"
        connection.execute(sql.SQL(create).format(made, parent, sql.Literal(_FILL[unit])))
        attach = "alter table {} attach partition {} for values from ({}) to ({})"
        connection.execute(sql.SQL(attach).format(parent, made, sql.Literal(start), sql.Literal(end)))


def _wanted(unit: Unit, moments: Iterable[datetime]) -> Iterator[tuple[str, tuple[str, datetime, datetime]]]:
    period = PERIODS[unit]
    for start, end in sorted({bounds(period, moment) for moment in moments}):
        for table in TABLES[unit]:
            yield name(table, period, start), (table, start, end)
