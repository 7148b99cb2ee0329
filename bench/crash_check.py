"""What Trackside holds after the crash test, read as its pages do: every family of counts, by day, from all tiers.

`prepare` gives it a past: borders as the retention would have moved them, so that late batches go to minutes, hours and
days. `ring` keeps ringing for the roll-up, so that it is at work, and killed, all the time.
"""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from crash_load import SERVICE, Cell
from redis import RedisError
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from trackside import jobs
from trackside.runtime import Runtime
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.histogram import unpack
from trackside_modules.usage.storage.reach import unpack as unpack_users

DAY = timedelta(days=1)
MINUTES_DAYS, HOURS_DAYS = 7, 100
_OPEN = """
select count(*) from usage_dirty
where at + case tier when 'day' then interval '1 day' else interval '1 hour' end < now() - interval '2 minutes'
"""


def prepare(runtime: Runtime) -> None:
    """Move the borders of minutes and hours to where they lie after years of use."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    borders = {"minute": midnight - MINUTES_DAYS * DAY, "hour": (midnight - HOURS_DAYS * DAY).replace(day=1)}
    with runtime.database.session() as session:
        for tier, kept_from in borders.items():
            values = {"tier": tier, "at": kept_from}
            session.execute(text("insert into usage_horizon (tier, kept_from) values (:tier, :at)"), values)


def ring(runtime: Runtime, stopping: threading.Event) -> None:
    """Ring for the roll-up until `stopping`."""
    rung = 0
    while not stopping.wait(0.7):
        rung += 1
        try:
            jobs.ring(runtime, "usage.rollup", slot=str(rung))
        except RedisError:
            continue


def unrolled(runtime: Runtime) -> int:
    """Return how many buckets the roll-up has still to make; -1 while the database is away."""
    try:
        with runtime.database.session() as session:
            return int(session.scalar(text(_OPEN)) or 0)
    except OperationalError:
        return -1


def held(runtime: Runtime, env_id: int) -> tuple[Counter[Cell], list[str]]:
    """Return the calls by day, route, status and user, and what does not agree with them in the other families."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with runtime.database.session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        routes = _names(session, f"select id, route from usage_endpoint where service = '{SERVICE}'")
        users = _names(session, "select id, coalesce(external_id, '') from customer_user")
        parts = tiers.parts(session, env_id, midnight - 500 * DAY, midnight + 2 * DAY)
        cells: Counter[Cell] = Counter()
        wrong: list[str] = []
        for row in session.execute(select(tiers.by_user(env_id, parts))):
            if row.endpoint_id in routes:
                cells[_day(row.at), routes[row.endpoint_id], row.status, users[row.user_id]] += row.calls
                if sum(unpack(row.latency).values()) != row.calls:
                    wrong.append(f"the histogram of {row.at} {routes[row.endpoint_id]} has not the row's calls")
        wrong += _endpoints(session, env_id, parts, cells, (routes, users))
        wrong += _users(session, env_id, parts, cells, users)
    return cells, wrong


def _names(session: Session, query: str) -> dict[int, str]:
    return {row[0]: row[1] for row in session.execute(text(query))}


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def _endpoints(
    session: Session, env_id: int, parts: list[Any], cells: Counter[Cell], names: tuple[dict[int, str], dict[int, str]]
) -> list[str]:
    routes, users = names
    expected: Counter[Any] = Counter()
    callers: dict[Any, set[str]] = {}
    for (day, route, status, user), calls in cells.items():
        expected[day, route, status] += calls
        callers.setdefault((day, route, status), set()).add(user)
    found: Counter[Any] = Counter()
    who: dict[Any, set[str]] = {}
    for row in session.execute(select(tiers.by_endpoint(env_id, parts))):
        if row.endpoint_id in routes:
            key = _day(row.at), routes[row.endpoint_id], row.status
            found[key] += row.calls
            who.setdefault(key, set()).update(users[user] for user in unpack_users(row.users))
    wrong = [f"{key}: {expected[key]} calls by user, {found[key]} by endpoint" for key in _differing(expected, found)]
    return wrong + [f"{key}: other callers by endpoint" for key in callers if callers[key] - {""} != who.get(key)]


def _users(session: Session, env_id: int, parts: list[Any], cells: Counter[Cell], users: dict[int, str]) -> list[str]:
    expected: Counter[Any] = Counter()
    for (day, _, status, user), calls in cells.items():
        expected[day, user, "calls"] += calls
        expected[day, user, "client"] += calls if 400 <= status < 500 else 0
        expected[day, user, "server"] += calls if status >= 500 else 0
    found: Counter[Any] = Counter()
    for row in session.execute(select(tiers.of_user(env_id, parts))):
        day, user = _day(row.at), users[row.user_id]
        found.update(
            {(day, user, "calls"): row.calls, (day, user, "client"): row.client_errors}
            | {(day, user, "server"): row.server_errors}
        )
    return [f"{key}: {expected[key]} by cell, {found[key]} of the user" for key in _differing(expected, found)]


def _differing(expected: Counter[Any], found: Counter[Any]) -> list[Any]:
    return [key for key in {*expected, *found} if expected[key] != found[key]]
