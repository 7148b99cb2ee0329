"""Fills a database with a week of minutes, and what lies above and before it, for bench/pages.py.

What makes it like the week of a company whose API has 10,000 users in 800 accounts and 60 routes in 3 services:

- When: nights and weekends have a third of a working afternoon's rows. It is 15:40 on a working day, so the day going
  on is read from sixteen hours and forty minutes, as on a page opened then.
- Who: the busiest tenth makes a third of the rows. Busy users call every hour, the others come on some days and in some
  of their hours; 2 % of the rows have no user. The largest accounts have hundreds of users, most a few.
- What: each user calls some eight routes again and again, and the popular routes are popular with everybody.
- How it goes: a route has one status of success and its own latency. Some 2.5 % of rows are 404, 2 % are 400 or 422,
  0.8 % are 500 or 503; 401 and 403 come from one user in fifty, 429 from one in forty.
- How often: a row stands for 5 calls on average, most for one or two, a few for hundreds.

PostgreSQL draws the minutes by hashes (so that any two fillings of a size are alike); hours, days and all that is made
of them come from Trackside's own roll-up and jobs. The days of the three months before are copies of that week, and so
are the hours of the week before and the endpoints' hours of 13 weeks. There are errors in groups, samples and what
follows what in proportion. Not there: users merged into others, late data, marks left behind by a slow roll-up.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from trackside.runtime import Runtime
from trackside_modules.usage import jobs
from trackside_modules.usage.storage import partitions, rollup
from trackside_modules.usage.storage.histogram import index_of, pack, slow
from trackside_modules.usage.storage.reach import EMPTY
from trackside_modules.usage.storage.reach import pack as pack_users

USERS, ACCOUNTS, ROUTES, SERVICES = 10_000, 800, 60, 3
_VARIANTS, _SINGLE = 40, 10
"""Histograms of each route that rows choose from, and how many of them are of a single call."""
_DAYS, _WEEKS = 7, 13
_DRAWS = 3.7
"""Draws for each row wanted: some are of users who are away then, or of what was drawn already."""
_SHAPE = (30, 25, 22, 22, 25, 30, 40, 60, 85, 100, 105, 105, 95, 100, 110, 110, 105, 95, 80, 65, 55, 48, 42, 35)
"""Rows of each hour of the day (UTC), in percent of a usual one."""

_NAMES = """
insert into account (external_id, name, plan, attributes, source)
    select 'acc-' || n, 'Account ' || n, (array['free', 'team', 'business'])[1 + n % 3], '{{}}', 'import'
    from generate_series(1, {accounts}) n;
insert into customer_user (external_id, name, account_id, attributes, source, first_seen, last_seen)
    select 'user-' || n, 'User ' || n,
        (select min(id) from account) + floor({accounts} * power(abs(hashint4(n) % 10007) / 10007.0, 2))::int,
        '{{}}', 'usage', now() - interval '90 days', now() - n * interval '1 minute' from generate_series(1, {users}) n;
insert into usage_endpoint (env_id, service, method, route, first_seen_at)
    select 1, 'service-' || n % {services}, (array['GET', 'POST', 'GET', 'DELETE'])[1 + n % 4],
        case when n > {routes} - {services} then '(unmatched)' else '/v1/things-' || n || '/<id>' end, now()
    from generate_series(1, {routes}) n;
"""
_MINUTES = """
insert into usage_minute
    (env_id, minute, endpoint_id, user_id, status, calls, micros, longest, latency, slow, approximate)
select 1, m, %(route)s + e, case when h %% 50 = 0 then 0 else %(user)s + u end, s,
    p.calls, p.micros, p.longest, p.latency, p.slow, false
from (
    select distinct on (m, e, case when h %% 50 = 0 then -1 else u end, s) m, e, u, s, h
    from generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 minute', interval '1 minute') m,
        lateral (select (extract(epoch from m)::bigint / 60)::int t) minute,
        generate_series(1, (%(rows)s * (%(shape)s::int[])[1 + extract(hour from m at time zone 'UTC')::int] / 100.0
            * case when extract(isodow from m at time zone 'UTC') > 5 then 0.4 else 1.2 end)::int) k,
        lateral (select hashint8extended(t * 100003::bigint + k, 7) & 9223372036854775807 h) drawn,
        lateral (select (power((h %% 10007) / 10007::float, 2) * %(users)s)::int u) who,
        lateral (select (%(routes)s * power(
            ((hashint4(u * 8 + (8 * power(h / 10007 %% 1009 / 1009.0, 2))::int) & 2147483647) %% 1009) / 1009.0, 2)
            )::int e) what,
        lateral (select h / 10007007 %% 1000 z) luck,
        lateral (select (case
            when e >= %(routes)s - %(services)s or z < 25 then 404
            when z < 40 then 422 when z < 45 then 400 when z < 51 then 500 when z < 53 then 503
            when u %% 50 = 7 and z < 250 then 401 when u %% 50 = 11 and z < 250 then 403
            when u %% 40 = 13 and z < 250 then 429
            else (array[200, 201, 200, 204])[1 + (e + 1) %% 4] end)::smallint s) answer
    where (hashint8(u * 4096 + t / 1440) & 2147483647) %% 100 >= 75 * u / %(users)s
        and (hashint8(u * 4096 + t / 60) & 2147483647) %% 100 >= 90 * sqrt(u / %(users)s::float)
    order by 1, 2, case when h %% 50 = 0 then -1 else u end, 4
) drawn join bench_pool p
    on p.n = e * %(variants)s + case when s >= 400 then h / 77 %% %(single)s else h / 77 %% %(variants)s end
"""
_MARKS = """
insert into usage_dirty (env_id, tier, at, number)
select 1, %s, at, 1 from generate_series(date_trunc(%s, %s::timestamptz, 'UTC'), %s::timestamptz, %s::interval) at
on conflict do nothing
"""


def fill(runtime: Runtime, rows: int, now: datetime) -> None:
    """Write about `rows` minute rows of the seven days up to `now`, and all that is made of them."""
    until = now.replace(second=0, microsecond=0)
    start = until.replace(hour=0, minute=0) - timedelta(days=_DAYS - 1)
    with runtime.database.pool.connection() as connection:
        connection.execute("set statement_timeout = 0")
        connection.execute("set work_mem = '256MB'")
        names = {"accounts": ACCOUNTS, "users": USERS, "routes": ROUTES, "services": SERVICES}
        connection.execute(sql.SQL(_NAMES).format(**{name: sql.Literal(number) for name, number in names.items()}))
        _pool(connection)
        _minutes(runtime, connection, rows, start, until)
    made = sum(1 for _ in rollup.run(runtime, 3600))
    assert made
    with runtime.database.pool.connection() as connection:
        connection.execute("set statement_timeout = 0")
        _copy_back(connection, start)
        _single(connection, rows, now)
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze")
        connection.autocommit = False
    jobs.remember(runtime)


def _minutes(
    runtime: Runtime, connection: psycopg.Connection[Any], rows: int, start: datetime, until: datetime
) -> None:
    values = {
        "rows": math.ceil(_DRAWS * rows / ((until - start) / timedelta(minutes=1))),
        "shape": list(_SHAPE),
        "user": _first(connection, "customer_user where id > 0"),
        "users": USERS - 1,
        "route": _first(connection, "usage_endpoint"),
        "routes": ROUTES - 1,
        "services": SERVICES,
        "variants": _VARIANTS,
        "single": _SINGLE,
    }
    days = [start + timedelta(days=n) for n in range(_DAYS)]
    partitions.ensure(connection, "minute", days)
    connection.commit()

    def draw(day: datetime) -> None:
        with runtime.database.pool.connection() as its, its.transaction():
            its.execute("set local statement_timeout = 0")
            its.execute("set local work_mem = '256MB'")
            its.execute(_MINUTES, values | {"start": day, "end": min(day + timedelta(days=1), until)})

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(draw, days))
    for tier, unit in (("minute", "hour"), ("hour", "hour"), ("day", "day")):
        connection.execute(_MARKS, (tier, unit, start, until, f"1 {unit}"))


def _first(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"select min(id) from {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    found: int = row[0]
    return found


def _pool(connection: psycopg.Connection[Any]) -> None:
    """Make the histograms that rows are given: of each route some of one call, and others of up to some hundred."""
    luck = Random(1)
    connection.execute(
        "create table bench_pool (n int primary key, calls int, micros bigint, longest bigint, latency bytea, slow int)"
    )
    with connection.cursor().copy("copy bench_pool from stdin") as copy:
        for n in range(ROUTES * _VARIANTS):
            route, variant = divmod(n, _VARIANTS)
            median = 0.004 * math.exp(Random(route).random() ** 2 * 5)
            calls = 1 if variant < _SINGLE else min(400, max(1, round(luck.lognormvariate(1, 1.2))))
            durations = [median * luck.lognormvariate(0, 0.5) for _ in range(calls)]
            histogram: dict[int, int] = {}
            for duration in durations:
                histogram[index_of(duration)] = histogram.get(index_of(duration), 0) + 1
            micros = [round(duration * 1e6) for duration in durations]
            copy.write_row((n, len(micros), sum(micros), max(micros), pack(histogram), slow(histogram)))


def _copy_back(connection: psycopg.Connection[Any], start: datetime) -> None:
    """Copy the week's days to the weeks before it, its hours to the week before, the endpoints' hours to all."""
    for week in range(1, _WEEKS):
        distance = timedelta(days=7 * week)
        for unit in ("hour", "day"):
            partitions.ensure(connection, unit, [start - distance + timedelta(days=n) for n in range(8)])
            for table in partitions.TABLES[unit]:
                if unit == "day" or week == 1 or table == "usage_endpoint_hour":
                    _copy(connection, table, start, distance)


def _copy(connection: psycopg.Connection[Any], table: str, start: datetime, distance: timedelta) -> None:
    listing = "select column_name from information_schema.columns where table_name = %s and column_name <> 'at'"
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in connection.execute(listing, (table,)))
    statement = "insert into {table} (at, {columns}) select at - %s, {columns} from {table} where at >= %s and at < %s"
    query = sql.SQL(statement).format(table=sql.Identifier(table), columns=columns)
    connection.execute(query, (distance, start, start + timedelta(days=7)))


def _single(connection: psycopg.Connection[Any], rows: int, now: datetime) -> None:
    """Write errors in groups, samples of the last 30 days, and what follows what."""
    user, route = _first(connection, "customer_user where id > 0"), _first(connection, "usage_endpoint")
    some: dict[str, Any] = {"nobody": EMPTY, "now": now, "route": route, "user": user, "routes": ROUTES, "users": USERS}
    luck = Random(2)
    connection.execute(
        "insert into usage_error (env_id, key, service, endpoint_id, status, error, message, calls, users,"
        " first_seen_at, last_seen_at) select 1, int4send(n), 'service-' || (n %% %(routes)s + 1) %% 3,"
        " %(route)s + n %% %(routes)s, 500, 'Error' || n %% 7, 'Message <n> of kind ' || n, 1000, %(nobody)s,"
        " %(now)s - interval '60 days', %(now)s - n * interval '1 minute' from generate_series(1, 150) n",
        some,
    )
    ids = [id_ for (id_,) in connection.execute("select id from usage_error order by id")]
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    with connection.cursor().copy("copy usage_error_hour (env_id, error_id, at, calls, users) from stdin") as copy:
        for id_ in ids:
            for back in range(24 * 60):
                if luck.random() < 0.2:
                    calls = luck.randint(1, 40)
                    who = pack_users(user + int(USERS * luck.random() ** 2) for _ in range(calls))
                    copy.write_row((1, id_, hour - timedelta(hours=back), calls, who))
    connection.execute(
        "insert into usage_sample (env_id, at, endpoint_id, user_id, status, micros, path, error, message, trace,"
        " error_id) select 1, %(now)s - (abs(hashint4(n)) %% 43200) * interval '1 minute',"
        " %(route)s + abs(hashint4(n + 1)) %% %(routes)s, %(user)s + abs(hashint4(n + 2)) %% %(users)s,"
        " (array[404, 500, 401, 429, 422])[1 + n %% 5], 90000, '/v1/thing-' || n %% 300, '', '', '',"
        " case when n %% 5 = 1 then (select min(id) from usage_error) + n %% 150 end"
        " from generate_series(1, %(rows)s) n",
        some | {"rows": rows // 50},
    )
    connection.execute(
        "insert into usage_follow (env_id, day, from_endpoint, to_endpoint, calls)"
        " select 1, (%(now)s - d * interval '1 day')::date, %(route)s + f, %(route)s + (f * 7 + t * t) %% %(routes)s,"
        " 100 + f * t from generate_series(0, 90) d, generate_series(0, %(routes)s - 1) f, generate_series(1, 12) t"
        " on conflict do nothing",
        some,
    )
