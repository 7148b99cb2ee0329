"""The demo's past: the same each time, the same in every tier, and gone with the demo."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from trackside.demo import story
from trackside.demo import workspace as demo
from trackside.runtime import Runtime
from trackside_modules.usage.demo import history, past
from trackside_modules.usage.folding import fold
from trackside_modules.usage.storage import rollup

DAYS = 3
Rows = list[tuple[Any, ...]]


@pytest.fixture
def past_written(runtime: Runtime, session: Session, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(story, "DAYS", DAYS)
    monkeypatch.setattr(history, "MINUTES_FOR", timedelta(hours=5))
    demo.seed(runtime, session)
    session.commit()
    return history.write(runtime, runtime.clock.now())


def ask(runtime: Runtime, query: str) -> Rows:
    with runtime.database.pool.connection() as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_the_tiers_and_families_of_the_past_add_up_to_each_other(runtime: Runtime, past_written: int) -> None:
    assert past_written > 500_000
    assert ask(runtime, "select sum(calls)::bigint from usage_hour") == [(past_written,)]
    for unit in ("minute", "hour", "day"):
        at = "minute" if unit == "minute" else "at"
        detail = f"select {at}, endpoint_id, status, sum(calls), sum(micros), max(longest), sum(slow) from usage_{unit}"
        endpoints = "select at, endpoint_id, status, calls, micros, longest, slow from usage_endpoint_" + unit
        assert ask(runtime, f"{detail} group by 1, 2, 3 order by 1, 2, 3") == ask(
            runtime, f"{endpoints} order by 1, 2, 3"
        )
    for unit in ("hour", "day"):
        detail = f"select at, user_id, sum(calls), sum(micros), max(longest), sum(slow) from usage_{unit}"
        users = f"select at, user_id, calls, micros, longest, slow from usage_user_{unit} order by 1, 2"
        assert ask(runtime, f"{detail} group by 1, 2 order by 1, 2") == ask(runtime, users)


def test_what_comes_in_while_the_past_is_written_is_counted_at_once(
    runtime: Runtime,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    send_events: Callable[..., tuple[int, Any]],
    event: Callable[..., dict[str, Any]],
) -> None:
    monkeypatch.setattr(story, "DAYS", 1)
    demo.seed(runtime, session)
    session.commit()
    finish, folded = history._Writer._finish, []

    def fold_before(writer: Any) -> None:
        send_events({"events": [event()]})
        # All the past's rows are written, nothing is committed: a fold that had to wait would be ended by its timeout.
        folded.append(fold.run(runtime, 1))
        finish(writer)

    monkeypatch.setattr(history._Writer, "_finish", fold_before)
    history.write(runtime, runtime.clock.now())
    assert folded == [1]


def test_failures_of_the_past_are_in_groups_that_add_up(runtime: Runtime, past_written: int) -> None:
    assert ask(runtime, "select error, status from usage_error order by 2") == [
        ("KeyError", 500),
        ("CarrierUnavailable", 503),
    ]
    failed = "select status, sum(calls)::bigint from usage_endpoint_hour where status >= 500 group by 1 order by 1"
    assert ask(runtime, "select status, calls from usage_error order by 1") == ask(runtime, failed)
    assert ask(runtime, "select count(*) > 10 from usage_follow") == [(True,)]


def test_who_called_in_the_past_was_seen_since_then(runtime: Runtime, past_written: int) -> None:
    called = "select user_id, min(at) as first, max(at) as last from usage_user_hour where user_id <> 0 group by 1"
    for kind, of in (("customer_user", "u.id"), ("account", "u.account_id")):
        wrong = f"""
            select s.id from (select {of} as id, min(c.first) as first, max(c.last) as last
            from ({called}) c join customer_user u on u.id = c.user_id group by 1) s join {kind} k on k.id = s.id
            where k.first_seen <> s.first or k.last_seen not between s.last and s.last + interval '1 hour'
        """
        assert ask(runtime, wrong) == []
    assert ask(runtime, f"select count(*) > 5 from ({called}) c") == [(True,)]


def test_rolling_up_the_past_again_changes_nothing(runtime: Runtime, past_written: int) -> None:
    def state() -> list[Rows]:
        return [
            ask(runtime, f"select * from usage_{table} order by 1, 2, 3, 4, 5")
            for table in ("hour", "day", "endpoint_hour", "endpoint_day", "user_hour", "user_day")
        ]

    before = state()
    now = runtime.clock.now()
    mark = (
        "insert into usage_dirty (env_id, tier, at, number)"
        " select 1, 'hour', at, 1 from generate_series(%s, %s, '1h'::interval) at on conflict do nothing"
    )
    hour = now.replace(minute=0, second=0, microsecond=0)
    with runtime.database.pool.connection() as connection:
        connection.execute(mark, (hour - timedelta(hours=5), hour - timedelta(hours=2)))
    assert list(rollup.run(runtime, 20))
    assert state() == before


def test_the_past_is_written_once_and_the_same_for_the_same_moment(
    runtime: Runtime, past_written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert history.write(runtime, runtime.clock.now()) == 0
    now = datetime.fromisoformat("2026-06-15T12:00:00+00:00")
    first, again = (past.calls(now, now - timedelta(days=1), 3, timedelta(hours=1)) for _ in range(2))
    assert first.calls.tolist() == again.calls.tolist()
    assert first.latency.counts.tolist() == again.latency.counts.tolist()
    other = past.calls(now, now - timedelta(days=2), 3, timedelta(hours=1))
    assert first.calls.tolist() != other.calls.tolist()


def test_the_story_shows_in_the_past(clock_now: datetime) -> None:
    now = clock_now
    cells = past.cells()

    def calls(days_ago: float, status: int | None = None, account: str | None = None, hours: int = 1) -> int:
        drawn = past.calls(now, (now - timedelta(days=days_ago)).replace(minute=0), hours, timedelta(hours=1))
        return sum(
            number
            for cell, number in zip((cells[n] for n in drawn.cells.tolist()), drawn.calls.tolist(), strict=True)
            if status in (None, cell.status) and account in (None, cell.account)
        )

    start, _ = story.INCIDENT.within(now)
    during = (now - start) / timedelta(days=1) - 0.02
    assert calls(during, 503) > 5 * calls(during + 1, 503)
    assert calls(60, account="northgate") > 0
    assert calls(3, account="northgate") == 0
    assert calls(12, account="alder") == 0 < calls(8, account="alder")
    assert calls(30, account="harrow") == 0 < calls(20, account="harrow")
    assert calls(7, account="kestrel", hours=24) > 1.3 * calls(84, account="kestrel", hours=24)


@pytest.fixture
def clock_now() -> datetime:
    return datetime.fromisoformat("2026-06-15T12:00:00+00:00")


def test_clearing_the_demo_takes_its_past_away(runtime: Runtime, session: Session, past_written: int) -> None:
    demo.clear(runtime, session)
    session.commit()
    for table in ("minute", "hour", "day", "endpoint_minute", "endpoint_hour", "endpoint_day", "user_hour", "user_day"):
        assert ask(runtime, f"select count(*) from usage_{table}") == [(0,)], table
    for table in ("endpoint", "error", "error_hour", "follow", "version"):
        assert ask(runtime, f"select count(*) from usage_{table}") == [(0,)], table
    assert ask(runtime, "select count(*) from workspace_fact where key = 'usage.demo_history'") == [(0,)]
