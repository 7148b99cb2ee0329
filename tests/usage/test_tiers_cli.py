"""`trackside usage`: backfill, tiers, show; and what doctor and metrics say of the roll-up."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from trackside import cli
from trackside.clock import FrozenClock
from trackside.lane import LaneResponse
from trackside.runtime import Runtime
from trackside_modules.usage import jobs, standing
from trackside_modules.usage.folding import fold

Post = Callable[..., LaneResponse]
Export = Callable[..., Any]
Call = Callable[..., Result]
HOURS = (0, 1, 2, 26, 50)


@pytest.fixture
def call(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Give a function that runs a command line."""
    monkeypatch.setattr("trackside_modules.usage.cli.runtime", lambda: runtime)
    return lambda *words: CliRunner().invoke(cli.trackside, ["usage", *words])


@pytest.fixture
def counted(runtime: Runtime, post: Post, export: Export, now_ns: int) -> None:
    """Count a call of Ada's in each of some hours, one of them wrong."""
    for hours in HOURS:
        attributes = {"trackside.user": "ada", "http.response.status_code": 404 if hours == 1 else 200}
        point = {"time_unix_nano": now_ns - hours * 3600 * 10**9, "attributes": attributes}
        assert post(export(point).SerializeToString()).status == "200 OK"
    fold.run(runtime, 1)


def sums(runtime: Runtime) -> list[int]:
    with runtime.database.pool.connection() as connection:
        tables = ("usage_endpoint_minute", "usage_hour", "usage_endpoint_hour", "usage_user_hour", "usage_day")
        query = " union all ".join(
            f"select {place}, coalesce(sum(calls), 0)::int from {table}" for place, table in enumerate(tables)
        )
        return [total for _, total in sorted(connection.execute(query))]  # type: ignore[arg-type]


def test_backfill_makes_hours_and_days_anew(runtime: Runtime, call: Call, counted: None) -> None:
    jobs.roll_up(runtime)
    before = sums(runtime)
    assert before == [5, 4, 4, 4, 2]  # the hour and the day going on are not over
    with runtime.database.pool.connection() as connection:
        connection.execute("truncate usage_hour, usage_endpoint_hour, usage_user_hour, usage_day")
        connection.execute("truncate usage_endpoint_minute")
    answer = call("backfill", "--env", "production", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["production"] == {"made": 51 + 50 + 2, "left": 0}
    assert sums(runtime) == before


def test_backfill_of_a_range_leaves_the_rest_alone(runtime: Runtime, call: Call, counted: None) -> None:
    jobs.roll_up(runtime)
    with runtime.database.pool.connection() as connection:
        connection.execute("truncate usage_hour, usage_endpoint_hour, usage_user_hour")
    answer = call("backfill", "--env", "production", "--from", "2026-06-14", "--to", "2026-06-15")
    assert answer.exit_code == 0, answer.output
    assert "production: 49 made, 0 left" in answer.output
    assert sums(runtime) == [5, 1, 1, 1, 2]


def test_a_range_that_ends_before_it_begins_is_refused(call: Call) -> None:
    answer = call("backfill", "--from", "2026-06-14", "--to", "2026-06-13")
    assert answer.exit_code == 1
    assert "before it begins" in answer.output
    assert call("show", "--env", "nowhere").exit_code == 3
    assert call("show", "--from", "yesterday").exit_code == 2


@pytest.mark.parametrize("rolled", [False, True])
def test_show_sums_a_range_by_endpoint_or_user(
    runtime: Runtime, call: Call, counted: None, clock: FrozenClock, *, rolled: bool
) -> None:
    if rolled:
        jobs.roll_up(runtime)
    shown = json.loads(call("show", "--from", "2026-06-01", "--to", "2026-06-20", "--json").stdout)
    assert shown["calls"] == 5
    [row] = shown["rows"]
    assert (row["service"], row["route"], row["errors"], row["users"]) == ("shop", "/orders", 1, 1)
    [user] = json.loads(call("show", "--by", "user", "--json").stdout)["rows"]
    assert user == {"user": "ada", "calls": 3, "errors": 1, "wrong_turns": 0, "slow": 0}
    assert "shop GET /orders" in call("show").output


def test_show_widens_a_range_to_what_is_kept(runtime: Runtime, call: Call, counted: None, clock: FrozenClock) -> None:
    clock.advance(timedelta(days=30, minutes=10))
    jobs.roll_up(runtime)
    jobs.tidy(runtime)
    assert sums(runtime) == [0, 5, 5, 5, 5]
    shown = json.loads(call("show", "--from", "2026-06-15T11:40", "--to", "2026-06-15T12:30", "--json").stdout)
    assert (shown["from"], shown["to"], shown["calls"]) == ("2026-06-15T11:00:00Z", "2026-06-15T13:00:00Z", 1)


def test_tiers_tell_what_they_hold_and_what_is_dirty(runtime: Runtime, call: Call, counted: None) -> None:
    found = {row["tier"]: row for row in json.loads(call("tiers", "--json").stdout)}
    assert (found["hour"]["dirty"], found["hour"]["overdue"]) == (5, 4)
    assert (found["day"]["dirty"], found["day"]["overdue"]) == (3, 2)
    assert found["minute"]["oldest"] == "2026-06-13T09:59:00Z"
    assert found["minute"]["size_bytes"] > 0
    assert "overdue 4" in call("tiers").output


def test_a_roll_up_that_stands_still_is_told(
    runtime: Runtime, session: Session, counted: None, clock: FrozenClock
) -> None:
    found = {it.name: it for it in standing.gauges(runtime, session)}
    assert found["usage_overdue_buckets"].behind
    assert found["usage_overdue_buckets"].value == 6
    assert found["usage_rollup_lag_seconds"].value > 40 * 3600
    assert standing.check(runtime).state == "warning"
    jobs.roll_up(runtime)
    session.rollback()
    assert not any(it.behind for it in standing.gauges(runtime, session))
    assert standing.check(runtime).state == "ok"
