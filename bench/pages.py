"""How long the server takes for each page of usage, on 10 million minute rows, and how that grows from 1 million.

    .venv/bin/python bench/pages.py [--rows 1000000 10000000] [--times 15] [--keep DIR] [--only TEXT]

Throw-away servers, filled by pages_fill.py (which says what of; some twenty minutes for 10 million), at a time that
stands still: the last Thursday, 15:40. With --keep the data stay in a folder, and a size that is there is not filled
again. Every page is asked as a signed-in member asks for it, in this process, in turn: the whole request is timed, from
WSGI call to last byte. Between requests stay what PostgreSQL and the tables remember, and what a web process holds of
minutes, hours, days and weeks that are over (ADR 0190, 0194): here nothing is counted meanwhile.
Printed: the first request after the start (cold: connections, templates and prepared statements too), median and p95 of
each page after it, at each size, and how the median grows.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
from flask.testing import FlaskClient
from pages_fill import fill

from trackside import migrate
from trackside.app import create_app
from trackside.auth import people, sessions
from trackside.auth.audit import SYSTEM
from trackside.clock import FrozenClock
from trackside.embedded.postgres import Postgres
from trackside.embedded.valkey import Valkey
from trackside.process import settle
from trackside.runtime import Runtime, build_runtime
from trackside.settings import load_settings
from trackside.testing.servers import Databases, session_folder
from trackside.workspace import seed_workspace
from trackside_modules.usage import jobs

LIMIT_MS = 100.0


@contextmanager
def servers(keep: Path | None) -> Iterator[tuple[Databases, str]]:
    """Run a throw-away PostgreSQL and Valkey; yield the first's databases and the second's address."""
    with nullcontext(keep) if keep else session_folder() as folder:
        postgres, valkey = Postgres(folder, throwaway=True), Valkey(folder, throwaway=True)
        postgres.start()
        valkey.start()
        try:
            yield Databases(postgres), valkey.url()
        finally:
            valkey.stop()
            postgres.stop()


def build(databases: Databases, redis_url: str, rows: int) -> tuple[Runtime, FlaskClient, float]:
    """Return a filled Trackside with a member's browser, and how many seconds the filling took."""
    name = f"pages_{rows}"
    there = _has(databases, name)
    if not there:
        databases.create_named(name)
    settings = load_settings(
        {},
        secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",
        database_url=databases.url(name),
        redis_url=redis_url,
    )
    now = moment()
    runtime = build_runtime(settings, clock=FrozenClock(now))
    migrate.upgrade(runtime.database.engine)
    began = time.monotonic()
    if not there:
        with runtime.database.session() as session:
            seed_workspace(session)
        fill(runtime, rows, now)
    else:
        jobs.remember(runtime)
    took = time.monotonic() - began
    app = create_app(settings, runtime=runtime)
    with runtime.database.session() as session:
        member = people.create_member(session, SYSTEM, now, f"bench-{uuid4()}@example.com", "owner", name="Bench")
        session.flush()
        token = sessions.open_session(session, member, now, user_agent="bench", address="127.0.0.1")
    browser = app.test_client()
    with browser.session_transaction() as cookie:
        cookie["_user_id"], cookie["_fresh"] = token, True
    settle()  # as `trackside web` does
    return runtime, browser, took


def _has(databases: Databases, name: str) -> bool:
    address = databases.url("postgres").replace("+psycopg", "")
    with psycopg.connect(address) as connection:
        return connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is not None


def moment() -> datetime:
    """Return 15:40 UTC of the last Thursday."""
    now = datetime.now(UTC)
    day = now - timedelta(days=(now.weekday() - 3) % 7 or 7)
    return day.replace(hour=15, minute=40, second=20, microsecond=0)


def pages(runtime: Runtime) -> list[str]:
    """Return the addresses to ask for: each page with the ranges people use."""
    with runtime.database.pool.connection() as connection:
        busiest = connection.execute(
            "select user_id, (select account_id from customer_user where id = user_id),"
            " (select endpoint_id from usage_endpoint_day group by 1 order by sum(calls) desc limit 1)"
            " from usage_user_day where user_id > 0 group by 1 order by sum(calls) desc limit 1"
        ).fetchone()
    assert busiest is not None
    user, account, endpoint = busiest
    ranged = ("/usage/", "/usage/endpoints", f"/usage/endpoints/{endpoint}", "/usage/users", "/usage/accounts")
    ranged += (f"/usage/users/{user}", f"/usage/accounts/{account}", "/usage/errors", "/usage/wrong-turns")
    found = [f"{page}?range={name}" for page in ranged for name in ("1h", "24h", "7d", "30d", "90d")]
    found += ["/usage/rows?range=24h", "/usage/patterns", "/usage/sources", "/usage/limits"]
    return [*found, f"/users/{user}", f"/accounts/{account}"]


def measure(browser: FlaskClient, addresses: list[str], times: int) -> dict[str, list[float]]:
    """Return the milliseconds of each request by address, the first one first."""
    took: dict[str, list[float]] = {address: [] for address in addresses}
    for _ in range(times + 1):
        for address in addresses:
            began = time.perf_counter()
            answer = browser.get(address)
            _ = answer.data
            elapsed = (time.perf_counter() - began) * 1000
            if answer.status_code != 200:
                sys.exit(f"{address} answered {answer.status_code}: {answer.text[:300]}")
            took[address].append(elapsed)
    return took


def p95(values: list[float]) -> float:
    """Return the 95th percentile, nearest rank."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="", help="ask only for pages with this in their address")
    options = parser.parse_args()
    results: list[dict[str, list[float]]] = []
    counted: list[int] = []
    with servers(options.keep) as (databases, redis_url):
        for rows in options.rows:
            runtime, browser, seconds = build(databases, redis_url, rows)
            with runtime.database.pool.connection() as connection:
                row = connection.execute("select count(*) from usage_minute").fetchone()
            assert row is not None
            counted.append(row[0])
            print(f"{row[0]:,} minute rows, filled and rolled up in {seconds:.0f} s")
            wanted = [address for address in pages(runtime) if options.only in address]
            results.append(measure(browser, wanted, options.times))
            runtime.close()
    heads = "".join(f"{f'{number / 1e6:.1f} M cold':>12}{'p50':>8}{'p95':>8}" for number in counted)
    print(f"\n{'page (milliseconds)':<44}{heads}{'growth':>9}")
    for address in results[0] if len(results) == 1 else [it for it in results[0] if it in results[-1]]:
        cells = "".join(
            f"{it[address][0]:>12.1f}{statistics.median(it[address][1:]):>8.1f}{p95(it[address][1:]):>8.1f}"
            for it in results
        )
        growth = statistics.median(results[-1][address][1:]) / statistics.median(results[0][address][1:])
        print(f"{address:<44}{cells}{growth:>8.1f}x")
    for number, result in zip(counted, results, strict=True):
        every = [value for values in result.values() for value in values[1:]]
        over = sum(p95(values[1:]) > LIMIT_MS for values in result.values())
        print(f"{number:,} rows: all pages p50 {statistics.median(every):.1f} ms, p95 {p95(every):.1f} ms")
        print(f"    {over} of {len(result)} pages are over {LIMIT_MS:.0f} ms at their p95")


if __name__ == "__main__":
    main()
