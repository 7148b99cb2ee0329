"""Who sends what: `usage_source` by service and signal, `usage_instance` with each process's clock."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from trackside_modules.usage.batch import Batch, Origin, Route

MOST_SOURCES, MOST_INSTANCES, MOST_ROUTES = 4000, 5000, 5000
KEEP_INSTANCES = timedelta(days=8)

_SOURCE = """
insert into usage_source (env_id, service, signal, sdk, language, version, distro, scope,
    points, without_user, without_route, approximate, first_seen_at, last_seen_at)
select %(env)s, it.*, %(at)s, %(at)s from unnest(%(services)s::text[], %(signals)s::text[], %(sdks)s::text[],
    %(languages)s::text[], %(versions)s::text[], %(distros)s::text[], %(scopes)s::text[], %(points)s::bigint[],
    %(users)s::bigint[], %(routes)s::bigint[], %(rough)s::bigint[])
    as it (service, signal, sdk, language, version, distro, scope, points, users, routes, rough)
where (select count(*) from usage_source where env_id = %(env)s) < %(most)s
    or exists (select from usage_source s where s.env_id = %(env)s and s.service = it.service)
on conflict (env_id, service, signal) do update set sdk = excluded.sdk, language = excluded.language,
    version = excluded.version, distro = excluded.distro,
    scope = case when excluded.points > 0 or usage_source.scope = '' then excluded.scope else usage_source.scope end,
    points = usage_source.points + excluded.points,
    without_user = usage_source.without_user + excluded.without_user,
    without_route = usage_source.without_route + excluded.without_route,
    approximate = usage_source.approximate + excluded.approximate,
    last_seen_at = greatest(usage_source.last_seen_at, excluded.last_seen_at)
"""
_INSTANCE = """
insert into usage_instance (env_id, service, instance, skew_ms, first_seen_at, last_seen_at)
select %(env)s, it.*, %(at)s, %(at)s
from unnest(%(services)s::text[], %(instances)s::text[], %(skews)s::bigint[]) as it (service, instance, skew)
where (select count(*) from usage_instance where env_id = %(env)s) < %(most)s
    or exists (select from usage_instance i
        where i.env_id = %(env)s and i.service = it.service and i.instance = it.instance)
on conflict (env_id, service, instance) do update set skew_ms = excluded.skew_ms, last_seen_at = excluded.last_seen_at
where usage_instance.last_seen_at <= excluded.last_seen_at
"""
_ROUTE = """
insert into usage_route (env_id, service, method, route, told_at)
select %(env)s, it.*, %(at)s from unnest(%(services)s::text[], %(methods)s::text[], %(routes)s::text[])
    as it (service, method, route)
where (select count(*) from usage_route where env_id = %(env)s) < %(most)s
on conflict (env_id, service, method, route) do update set told_at = excluded.told_at
"""


def note(connection: Connection[Any], env_id: int, batches: Iterable[tuple[datetime, Batch]]) -> None:
    """Add who sent these batches, given with their time of arrival."""
    for received, batch in batches:
        if batch.origins:
            _sources(connection, env_id, received, batch.origins)
            _instances(connection, env_id, received, batch.origins)
        if batch.routes:
            _routes(connection, env_id, received, batch.routes)


def _sources(connection: Connection[Any], env_id: int, at: datetime, origins: list[Origin]) -> None:
    summed: dict[tuple[str, str], Origin] = {}
    for it in origins:
        kept = summed.get((it.service, it.signal))
        if kept is None:
            kept = summed[it.service, it.signal] = Origin(*_head(it))
        kept.points += it.points
        kept.without_user += it.without_user
        kept.without_route += it.without_route
        kept.approximate += it.approximate
    rows = [summed[key] for key in sorted(summed)]
    heads = zip(*map(_head, rows), strict=True)
    names = ("services", "signals", "sdks", "languages", "versions", "distros", "scopes")
    values: dict[str, Any] = {name: list(column) for name, column in zip(names, heads, strict=True)}
    values |= {"points": [it.points for it in rows], "users": [it.without_user for it in rows]}
    values |= {"routes": [it.without_route for it in rows], "rough": [it.approximate for it in rows]}
    connection.execute(_SOURCE, values | {"env": env_id, "at": at, "most": MOST_SOURCES})


def _head(it: Origin) -> tuple[str, str, str, str, str, str, str]:
    return it.service, it.signal, it.sdk, it.language, it.version, it.distro, it.scope


def _instances(connection: Connection[Any], env_id: int, at: datetime, origins: list[Origin]) -> None:
    arrived = int(at.timestamp() * 1000)
    # what was spooled is old news, and says nothing about a clock
    skews = {
        (it.service, it.instance): it.newest // 1_000_000 - arrived
        for it in sorted(origins, key=lambda each: each.newest)
        if it.instance and it.newest
    }
    if not skews:
        return
    values = {
        "env": env_id,
        "at": at,
        "most": MOST_INSTANCES,
        "services": [service for service, _ in skews],
        "instances": [instance for _, instance in skews],
        "skews": list(skews.values()),
    }
    connection.execute(_INSTANCE, values)


def _routes(connection: Connection[Any], env_id: int, at: datetime, routes: list[Route]) -> None:
    named = sorted({(it.service, it.method, it.route) for it in routes})
    services, methods, paths = map(list, zip(*named, strict=True))
    values = {"env": env_id, "at": at, "services": services, "methods": methods, "routes": paths}
    connection.execute(_ROUTE, values | {"most": MOST_ROUTES})
