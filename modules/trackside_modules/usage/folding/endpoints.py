"""Endpoints by service, method and route: known by a number from first sight, and never without bound."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection

from trackside_modules.usage.models.names import OTHER

MOST = 5000
"""Endpoints of an environment; what comes after shares `(other)`."""

Name = tuple[str, str, str]
"""Service, method, route."""

CATCH_ALL: Name = (OTHER, "_OTHER", OTHER)

_FIND = """
select e.service, e.method, e.route, e.id from usage_endpoint e
join unnest(%s::text[], %s::text[], %s::text[]) as k (service, method, route) using (service, method, route)
where e.env_id = %s
"""
_MAKE = """
insert into usage_endpoint (env_id, first_seen_at, service, method, route)
select %s, %s, it.* from unnest(%s::text[], %s::text[], %s::text[]) as it
returning service, method, route, id
"""


def resolve(
    connection: Connection[Any], env_id: int, names: Iterable[Name], now: datetime, most: int = MOST
) -> tuple[dict[Name, int], set[Name]]:
    """Return the ids of endpoints, new ones made while there is room, and which ones had to share `(other)`.

    The caller holds the environment's lock, so nobody else makes endpoints meanwhile.
    """
    wanted = sorted(set(names))
    found = _ids(connection, env_id, wanted)
    missing = [name for name in wanted if name not in found]
    if not missing:
        return found, set()
    counted = connection.execute("select count(*) from usage_endpoint where env_id = %s", (env_id,)).fetchone()
    room = max(0, most - (counted[0] if counted else 0))
    found.update(_make(connection, env_id, missing[:room], now))
    over = set(missing[room:])
    if over:
        catch_all = _ids(connection, env_id, [CATCH_ALL]) or _make(connection, env_id, [CATCH_ALL], now)
        found.update(dict.fromkeys(over, catch_all[CATCH_ALL]))
    return found, over


def _columns(names: list[Name]) -> list[list[str]]:
    return [[name[place] for name in names] for place in range(3)]


def _ids(connection: Connection[Any], env_id: int, names: list[Name]) -> dict[Name, int]:
    rows = connection.execute(_FIND, (*_columns(names), env_id), prepare=False)
    return {(service, method, route): found for service, method, route, found in rows}


def _make(connection: Connection[Any], env_id: int, names: list[Name], now: datetime) -> dict[Name, int]:
    if not names:
        return {}
    rows = connection.execute(_MAKE, (env_id, now, *_columns(names)))
    return {(service, method, route): made for service, method, route, made in rows}
