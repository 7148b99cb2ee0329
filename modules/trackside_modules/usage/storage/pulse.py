"""The calls, failures and users of each hour and week: counted from the tiers, and remembered once they are over.

A heat map of thirteen weeks is two thousand hours, "new users" is every week there ever was: too many rows to add up
for a page. So each hour and week that is over is kept as one small row (`UsagePulse`), which is only a memory: what is
missing, going on or dirty is summed up from shorter memories and the tiers (see `memory`), so a page is exact and fresh
whatever was made yet. Whoever changes an hour or day that is not marked dirty calls `forget` in the same
transaction; whoever takes a mark away calls it before, while the mark still stands.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg import Connection
from pyroaring import BitMap64
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside_modules.usage.models import (
    UsageEndpoint,
    UsageEndpointDay,
    UsageEndpointHour,
    UsageEndpointMinute,
    UsagePulse,
)
from trackside_modules.usage.storage import memory, reach, tiers
from trackside_modules.usage.storage.memory import dirty, floor

Unit = Literal["hour", "week"]
STEPS: dict[Unit, timedelta] = {"hour": timedelta(hours=1), "week": timedelta(days=7)}
KEEP_HOURS = timedelta(weeks=14)
"""Hours older than this are on no page."""
_AT_ONCE: dict[Unit, int] = {"hour": 24, "week": 1}
LOCK = 0x70756C73
"""Advisory lock of those who remember and who make forget; the second key is the environment."""

_FORGET = """
delete from usage_pulse p using unnest(%(at)s::timestamptz[]) as changed (at)
where p.env_id = %(env)s and (p.unit = 'hour' and %(tier)s = 'hour' and p.at = changed.at
    or p.unit = 'week' and p.at > changed.at - interval '7 days' and p.at <= changed.at)
"""


@dataclass(slots=True)
class Pulse:
    """What calls of an hour or week came to; `users` by number, merged ones apart."""

    calls: int = 0
    server_errors: int = 0
    users: BitMap64 = field(default_factory=BitMap64)


_FIRSTS: tuple[Any, ...] = (UsageEndpointDay, UsageEndpointHour, UsageEndpointMinute)
_FIRST = select(*(select(func.min(it.at)).where(it.env_id == bindparam("env")).scalar_subquery() for it in _FIRSTS))


def first(session: Session, env_id: int) -> datetime | None:
    """Return the start of the first minute, hour or day that has calls; None where there are none."""
    return min((at for at in session.execute(_FIRST, {"env": env_id}).one() if at), default=None)


def fill(session: Session, env_id: int, now: datetime, most: int = 5000) -> int:
    """Make what is missing of the hours and weeks that are over, commit as it goes, and return how many were made."""
    begin, made = first(session, env_id), 0
    for unit in STEPS if begin else ():
        start = floor(unit, max(begin or now, now - KEEP_HOURS) if unit == "hour" else begin or now)
        end = floor(unit, now)
        missing = _missing(session, env_id, unit, start, end)[: most - made]
        for place in range(0, len(missing), _AT_ONCE[unit]):
            _make(session, env_id, unit, missing[place : place + _AT_ONCE[unit]])
            session.commit()
        made += len(missing)
    return made


def forget(connection: Connection[Any], env_id: int, tier: str, changed: Iterable[datetime]) -> None:
    """Drop what was remembered of hours or days (`tier`) that change.

    The lock is held until the end of the transaction: who was about to remember them has committed by then and is
    forgotten too, and who comes later sees the change, or the mark. So the transaction must not be one of repeatable
    reads.
    """
    connection.execute("select pg_advisory_xact_lock(%s, %s)", (LOCK, env_id))
    times = list(changed)
    connection.execute(_FORGET, {"env": env_id, "tier": tier, "at": times})
    memory.forget(connection, env_id, tier, times)


def forget_past(connection: Connection[Any], env_id: int, times: Iterable[datetime], now: datetime) -> None:
    """No longer trust what is remembered of days that are over where something else than calls changes (see `forget`).

    What is told of today is read anew by every page. Hours and weeks of calls stay: they have not changed.
    """
    today = floor("day", now)
    if past := sorted({day for at in times if (day := floor("day", at)) < today}):
        connection.execute("select pg_advisory_xact_lock(%s, %s)", (LOCK, env_id))
        memory.forget(connection, env_id, "day", past)


def _make(session: Session, env_id: int, unit: Unit, starts: Sequence[datetime]) -> None:
    """Remember hours or weeks; what has become dirty since is made when it no longer is."""
    session.execute(select(func.pg_advisory_xact_lock(LOCK, env_id)))
    for begin, end in spans(starts, STEPS[unit]):
        counted = _count(session, env_id, unit, begin, end)
        gone = dirty(session, env_id, unit, begin, end)
        for at in _starts(unit, begin, end):
            counted.setdefault(("", at), Pulse())
        rows = [
            {
                "env_id": env_id,
                "unit": unit,
                "service": service,
                "at": at,
                "calls": it.calls,
                "server_errors": it.server_errors,
                "users": reach.pack(it.users),
            }
            for (service, at), it in counted.items()
            if at not in gone
        ]
        if rows:
            session.execute(insert(UsagePulse).on_conflict_do_nothing(), rows)


def _missing(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[datetime]:
    """Return the hours or weeks that are neither remembered nor dirty."""
    it = UsagePulse
    query = select(it.at).where(it.env_id == env_id, it.unit == unit, it.service == "", it.at >= start, it.at < end)
    there = {at.astimezone(UTC) for at in session.scalars(query)} | dirty(session, env_id, unit, start, end)
    return [at for at in _starts(unit, start, end) if at not in there]


def _count(
    session: Session, env_id: int, unit: Unit, start: datetime, end: datetime
) -> dict[tuple[str, datetime], Pulse]:
    """Return all calls by service and hour or week, `""` for all services."""
    spans = tiers.parts(session, env_id, start, end, "day" if unit == "week" else "hour")
    rows = tiers.by_endpoint(env_id, spans)
    query = select(rows.c.at, UsageEndpoint.service, rows.c.status, rows.c.calls, rows.c.users)
    query = query.join(UsageEndpoint, UsageEndpoint.id == rows.c.endpoint_id)
    found: dict[tuple[str, datetime], Pulse] = {}
    packed: dict[tuple[str, datetime], set[bytes]] = {}
    for at, name, status, calls, users in session.execute(query):
        begin = floor(unit, at)
        for key in ((name, begin), ("", begin)):
            it = found.get(key)
            if it is None:
                it, packed[key] = found.setdefault(key, Pulse()), set()
            it.calls += calls
            it.server_errors += calls if status >= 500 else 0
            packed[key].add(users)
    for key, sets in packed.items():
        found[key].users = reach.unite(sets)
    return found


def _starts(unit: Unit, start: datetime, end: datetime) -> Iterator[datetime]:
    at = start.astimezone(UTC)
    while at < end:
        yield at
        at += STEPS[unit]


def spans(starts: Iterable[datetime], step: timedelta) -> list[tuple[datetime, datetime]]:
    """Return the stretches `[start, end)` without a gap that hours or weeks, given in order, make together."""
    found: list[tuple[datetime, datetime]] = []
    for at in starts:
        since = found.pop()[0] if found and found[-1][1] == at else at
        found.append((since, at + step))
    return found
