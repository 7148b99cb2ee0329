"""Fills a database with a week of minutes, and what lies above and before it, for bench/pages.py.

PostgreSQL invents the minutes itself: who calls what in a minute is drawn by a hash, the durations come from a table
of some thousand histograms; each user calls some five routes. Hours, days and the endpoints' families are made by
Trackside's own roll-up. The days of the three months before are copies of that week, which cost a page the same.
"""

import math
from datetime import datetime, timedelta
from random import Random

import psycopg

from trackside.runtime import Runtime
from trackside_modules.usage.storage import partitions, pulse, rollup
from trackside_modules.usage.storage.histogram import index_of, pack, slow

USERS, ACCOUNTS, ROUTES, SERVICES = 5_000, 400, 60, 3
_POOL = 2_000
_DAYS = 7

_NAMES = f"""
insert into account (external_id, name, plan, attributes, source)
    select 'acc-' || n, 'Account ' || n, (array['free', 'team', 'business'])[1 + n % 3], '{{}}', 'import'
    from generate_series(1, {ACCOUNTS}) n;
insert into customer_user (external_id, name, account_id, attributes, source, first_seen, last_seen)
    select 'user-' || n, 'User ' || n, (select min(id) from account) + n % {ACCOUNTS}, '{{}}', 'usage', now(), now()
    from generate_series(1, {USERS}) n;
insert into usage_endpoint (env_id, service, method, route, first_seen_at)
    select 1, 'service-' || n % {SERVICES}, (array['GET', 'POST', 'GET', 'DELETE'])[1 + n % 4],
        case when n % 30 = 0 then '(unmatched)' else '/v1/things-' || n || '/<id>' end, now()
    from generate_series(1, {ROUTES}) n on conflict do nothing;
"""
_MINUTES = """
insert into usage_minute
    (env_id, minute, endpoint_id, user_id, status, calls, micros, longest, latency, slow, approximate)
select distinct on (m, e.id, u.id, status)
    1, m, e.id, u.id, status, p.calls, p.micros, p.longest, p.latency, p.slow, false
from generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 minute', interval '1 minute') m,
    generate_series(1, %(rows)s) k,
    lateral (select hashint8extended(extract(epoch from m)::bigint * 100003 + k, 7) & 9223372036854775807 h) drawn,
    lateral (select %(user)s + (power((h %% 10007) / 10007::float, 2) * %(users)s)::int id) u,
    lateral (select %(route)s + ((u.id * 7 + power((h / 10007 %% 1009) / 1009::float, 2) * 4)::int %% %(routes)s) id) e,
    lateral (select (array[200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 201, 404, 429, 500])
        [1 + h / 10007007 %% 14]::smallint status) s,
    bench_pool p
where p.n = h / 100003 %% %(pool)s
"""
_OLDER = [timedelta(days=7 * week) for week in range(1, 13)]


def fill(runtime: Runtime, rows: int, now: datetime) -> None:
    """Write about `rows` minute rows of the seven days before `now`, and all that is made of them."""
    until = now.replace(second=0, microsecond=0)
    start = until.replace(hour=0, minute=0) - timedelta(days=_DAYS - 1)
    with runtime.database.pool.connection() as connection:
        connection.execute("set statement_timeout = 0")
        connection.execute(_NAMES)
        _pool(connection)
        values = {"pool": _POOL, "rows": math.ceil(rows / ((until - start) / timedelta(minutes=1)))}
        values |= {"user": _first(connection, "customer_user where id > 0"), "users": USERS - 1}
        values |= {"route": _first(connection, "usage_endpoint"), "routes": ROUTES - SERVICES}
        day = start
        while day < until:
            end = min(day + timedelta(days=1), until)
            partitions.ensure(connection, "minute", [day])
            connection.execute(_MINUTES, values | {"start": day, "end": end})
            connection.commit()
            day += timedelta(days=1)
        for tier, step in (("minute", "1 hour"), ("hour", "1 hour"), ("day", "1 day")):
            connection.execute(
                "insert into usage_dirty (env_id, tier, at, number)"
                " select 1, %s, at, 1 from generate_series(%s, %s, %s::interval) at on conflict do nothing",
                (tier, start, until, step),
            )
    made = sum(1 for _ in rollup.run(runtime, 3600))
    with runtime.database.pool.connection() as connection:
        connection.execute("set statement_timeout = 0")
        _copy_back(connection, start)
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze")
        connection.autocommit = False
    with runtime.database.sessions() as session:
        pulse.fill(session, 1, now)
    assert made


def _first(connection: psycopg.Connection[tuple[int]], table: str) -> int:
    row = connection.execute(f"select min(id) from {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


def _pool(connection: psycopg.Connection[tuple[int]]) -> None:
    """Make the histograms that rows are given: 1 to 40 calls around medians from 3 ms to 2 s."""
    luck = Random(1)
    connection.execute(
        "create table bench_pool (n int primary key, calls int, micros bigint, longest bigint, latency bytea, slow int)"
    )
    with connection.cursor().copy("copy bench_pool from stdin") as copy:
        for n in range(_POOL):
            median = 0.003 * math.exp(luck.random() ** 3 * 6.5)
            durations = [median * luck.lognormvariate(0, 0.4) for _ in range(luck.randint(1, 40))]
            histogram: dict[int, int] = {}
            for duration in durations:
                histogram[index_of(duration)] = histogram.get(index_of(duration), 0) + 1
            micros = [round(duration * 1e6) for duration in durations]
            copy.write_row((n, len(micros), sum(micros), max(micros), pack(histogram), slow(histogram)))


def _copy_back(connection: psycopg.Connection[tuple[int]], start: datetime) -> None:
    listing = "select column_name from information_schema.columns where table_name = %s and column_name <> 'at'"
    for distance in _OLDER:
        partitions.ensure(connection, "day", [start - distance + timedelta(days=n) for n in range(8)])
        for table in partitions.TABLES["day"]:
            columns = ", ".join(name for (name,) in connection.execute(listing, (table,)))  # type: ignore[misc]
            connection.execute(
                f"insert into {table} (at, {columns}) select at - %s, {columns} from {table} where at >= %s",  # type: ignore[arg-type]
                (distance, start),
            )
