"""Who sends what: `usage_source` by service and signal, `usage_instance` with each process's clock."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from trackside_modules.usage.ingest.batch import Batch, Origin, Route

MOST_SOURCES, MOST_INSTANCES, MOST_ROUTES = 4000, 5000, 5000
KEEP_INSTANCES = timedelta(days=8)
_NEVER = (datetime.min.replace(tzinfo=UTC), 0)

_SOURCE = """
insert into usage_source (env_id, service, signal, sdk, language, version, distro, scope,
    points, without_user, without_route, approximate, first_seen_at, last_seen_at)
select %(env)s, it.*, it.at from unnest(%(services)s::text[], %(signals)s::text[], %(sdks)s::text[],
    %(languages)s::text[], %(versions)s::text[], %(distros)s::text[], %(scopes)s::text[], %(points)s::bigint[],
    %(users)s::bigint[], %(routes)s::bigint[], %(rough)s::bigint[], %(ats)s::timestamptz[])
    as it (service, signal, sdk, language, version, distro, scope, points, users, routes, rough, at)
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
select %(env)s, it.*, it.at
from unnest(%(services)s::text[], %(instances)s::text[], %(skews)s::bigint[], %(ats)s::timestamptz[])
    as it (service, instance, skew, at)
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


def note(connection: Connection[Any], env_id: int, batches: Sequence[tuple[datetime, Batch]]) -> None:
    """Add who sent these batches, given with their time of arrival."""
    told = [(received, it) for received, batch in batches for it in batch.origins]
    if told:
        _sources(connection, env_id, told)
        _instances(connection, env_id, told)
    routes = {it for _, batch in batches for it in batch.routes}
    if routes:
        _routes(connection, env_id, max(received for received, _ in batches), routes)


def _sources(connection: Connection[Any], env_id: int, told: list[tuple[datetime, Origin]]) -> None:
    summed: dict[tuple[str, str], Origin] = {}
    last: dict[tuple[str, str], datetime] = {}
    for received, it in told:
        key = it.service, it.signal
        kept = summed.get(key)
        if kept is None:
            kept = summed[key] = Origin(*_head(it))
        kept.points += it.points
        kept.without_user += it.without_user
        kept.without_route += it.without_route
        kept.approximate += it.approximate
        last[key] = max(received, last.get(key, received))
    rows = [summed[key] for key in sorted(summed)]
    heads = zip(*map(_head, rows), strict=True)
    names = ("services", "signals", "sdks", "languages", "versions", "distros", "scopes")
    values: dict[str, Any] = {name: list(column) for name, column in zip(names, heads, strict=True)}
    values |= {"points": [it.points for it in rows], "users": [it.without_user for it in rows]}
    values |= {"routes": [it.without_route for it in rows], "rough": [it.approximate for it in rows]}
    ats = [last[key] for key in sorted(last)]
    connection.execute(_SOURCE, values | {"env": env_id, "ats": ats, "most": MOST_SOURCES})


def _head(it: Origin) -> tuple[str, str, str, str, str, str, str]:
    return it.service, it.signal, it.sdk, it.language, it.version, it.distro, it.scope


def _instances(connection: Connection[Any], env_id: int, told: list[tuple[datetime, Origin]]) -> None:
    newest: dict[tuple[str, str], tuple[datetime, int]] = {}
    for received, it in told:
        if it.instance and it.newest:
            skew = it.newest // 1_000_000 - int(received.timestamp() * 1000)
            # of batches that came together the freshest tells most: the others may have been spooled
            newest[it.service, it.instance] = max((received, skew), newest.get((it.service, it.instance), _NEVER))
    if not newest:
        return
    keys = sorted(newest)
    values = {
        "env": env_id,
        "most": MOST_INSTANCES,
        "services": [service for service, _ in keys],
        "instances": [instance for _, instance in keys],
        "skews": [newest[key][1] for key in keys],
        "ats": [newest[key][0] for key in keys],
    }
    connection.execute(_INSTANCE, values)


def _routes(connection: Connection[Any], env_id: int, at: datetime, routes: Iterable[Route]) -> None:
    named = sorted({(it.service, it.method, it.route) for it in routes})
    services, methods, paths = map(list, zip(*named, strict=True))
    values = {"env": env_id, "at": at, "services": services, "methods": methods, "routes": paths}
    connection.execute(_ROUTE, values | {"most": MOST_ROUTES})
