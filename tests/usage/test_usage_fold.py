"""From the door to the counts: exact, once, and whole after a crash at any statement."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import redis

from trackside.lane import LaneResponse
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold, live
from trackside_modules.usage.storage.histogram import unpack

Post = Callable[..., LaneResponse]
Export = Callable[..., Any]


def rows(runtime: Runtime) -> list[tuple[Any, ...]]:
    with runtime.database.pool.connection() as connection:
        return connection.execute(
            "select e.service, e.method, e.route, u.external_id, m.status, m.calls, m.micros, m.latency, m.approximate"
            " from usage_minute m join usage_endpoint e on e.id = m.endpoint_id"
            " join customer_user u on u.id = m.user_id order by 1, 2, 3, 4, 5"
        ).fetchall()


def total(runtime: Runtime) -> int:
    return sum(row[5] for row in rows(runtime))


def scalar(runtime: Runtime, query: str) -> Any:
    with runtime.database.pool.connection() as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def test_what_is_accepted_is_counted_exactly(runtime: Runtime, post: Post, export: Export, now_ns: int) -> None:
    request = export(
        {"time_unix_nano": now_ns, "counts": [3, 4, 1], "attributes": {"trackside.user": "ada"}},
        {"time_unix_nano": now_ns, "counts": [0, 0, 2], "attributes": {"http.response.status_code": 500}},
    )
    assert post(request.SerializeToString()).status == "200 OK"
    assert fold.run(runtime, 1) == 1
    (first, second) = rows(runtime)
    assert first[:7] == ("shop", "GET", "/orders", "", 500, 2, 1_000_000)
    assert second[:7] == ("shop", "GET", "/orders", "ada", 200, 8, 4_000_000)
    assert sum(unpack(second[7]).values()) == 8
    assert second[8] is True


def test_a_repeated_batch_is_answered_alike_and_counts_once(
    runtime: Runtime, post: Post, export: Export, now_ns: int
) -> None:
    body = export({"time_unix_nano": now_ns}, {"time_unix_nano": now_ns, "sum": -1.0}).SerializeToString()
    answers = {post(body).body for _ in range(3)}
    fold.run(runtime, 1)
    answers.add(post(body).body)
    fold.run(runtime, 1)
    assert len(answers) == 1
    assert b"negative" in answers.pop()
    assert total(runtime) == 1


def test_the_same_body_from_another_key_is_another_batch(
    runtime: Runtime, post: Post, export: Export, now_ns: int
) -> None:
    body = export({"time_unix_nano": now_ns}).SerializeToString()
    post(body, key_id=1)
    post(body, key_id=2)
    fold.run(runtime, 1)
    assert total(runtime) == 2


def test_cumulative_streams_count_their_growth(runtime: Runtime, post: Post, export: Export, now_ns: int) -> None:
    start = now_ns - 3600 * 10**9
    for seconds, counts in ((1, [1, 2, 0]), (2, [1, 5, 0]), (3, [1, 5, 0]), (4, [2, 6, 1])):
        point = {"start_time_unix_nano": start, "time_unix_nano": now_ns + seconds, "counts": counts}
        post(export(point, temporality=2).SerializeToString())
    fold.run(runtime, 1)
    assert total(runtime) == 9


def test_a_stream_older_than_a_day_begins_at_its_baseline(
    runtime: Runtime, post: Post, export: Export, now_ns: int
) -> None:
    start = now_ns - 25 * 3600 * 10**9
    for seconds, counts in ((1, [100, 0, 0]), (2, [103, 0, 0])):
        point = {"start_time_unix_nano": start, "time_unix_nano": now_ns + seconds, "counts": counts}
        post(export(point, temporality=2).SerializeToString())
        fold.run(runtime, 1)
    assert total(runtime) == 3
    assert scalar(runtime, "select kind || about from usage_warning") == "stream-baselineshop"


def test_a_falling_count_is_a_restart_and_a_new_start_another_stream(
    runtime: Runtime, post: Post, export: Export, now_ns: int
) -> None:
    start = now_ns - 10**9
    for offset, began, count in ((1, start, 10), (2, start, 4), (3, start + 1, 6), (4, start, 5)):
        point = {"start_time_unix_nano": began, "time_unix_nano": now_ns + offset, "counts": [count, 0, 0]}
        post(export(point, temporality=2).SerializeToString())
    fold.run(runtime, 1)
    assert total(runtime) == 10 + 4 + 6 + 1


class Poison(Exception):
    """Stands for a batch that no code can apply."""


def test_a_poison_batch_is_set_aside_and_the_rest_counted(
    runtime: Runtime, post: Post, export: Export, now_ns: int, clock: Any
) -> None:
    from datetime import timedelta

    for number in range(9):
        post(export({"time_unix_nano": now_ns + number}).SerializeToString())
    with runtime.database.pool.connection() as connection:
        connection.execute(
            "update usage_inbox set body = 'not a batch' where id = (select min(id) + 4 from usage_inbox)"
        )
    for _ in range(4):
        fold.run(runtime, 1)
        clock.advance(timedelta(seconds=5))
    assert total(runtime) == 8
    assert scalar(runtime, "select attempts from usage_inbox where dead_at is not null") == 3
    assert scalar(runtime, "select kind from usage_warning") == "dead-batch"
    assert fold.run(runtime, 1) == 0


def killing(place: int) -> Callable[..., Any]:
    """Return an `execute` that kills its server process before the statement at `place`, from the lock on."""
    execute, seen = psycopg.Connection.execute, Counter[str]()

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "pg_try_advisory" in str(args[0]) or seen["all"]:
            seen["all"] += 1
            if seen["all"] == place:
                with psycopg.connect(self.info.dsn) as other:
                    execute(other, "select pg_terminate_backend(%s, 2000)", (self.info.backend_pid,))
        return execute(self, *args, **kwargs)

    return counting


def test_a_fold_killed_at_any_statement_loses_nothing_and_doubles_nothing(
    runtime: Runtime, post: Post, export: Export, now_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill the server's process behind the fold's connection before its 1st, 2nd, 3rd ... statement."""
    expected = killed_at = 0
    while True:
        killed_at += 1
        points = [
            {"time_unix_nano": now_ns + killed_at, "attributes": {"trackside.user": f"u{killed_at}"}},
            {"time_unix_nano": now_ns - 86400 * 10**9 * killed_at, "attributes": {"http.route": f"/r{killed_at}"}},
        ]
        post(export(*points).SerializeToString())
        cumulative = {
            "start_time_unix_nano": now_ns - 1,
            "time_unix_nano": now_ns + killed_at,
            "counts": [killed_at, 0, 0],
        }
        post(export(cumulative, temporality=2).SerializeToString())
        expected += 3
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "execute", killing(killed_at))
            try:
                fold.run(runtime, 1)
                died = False
            except psycopg.OperationalError:
                died = True
        fold.run(runtime, 1)
        assert total(runtime) == expected
        assert scalar(runtime, "select count(*) from usage_inbox where applied_at is null") == 0
        if not died:
            break
    assert killed_at > 12


def counted(runtime: Runtime) -> int:
    found = live.read(runtime, 1, 10)
    assert found is not None
    return sum(minute.calls for _, minute in found.minutes)


def test_live_counters_follow_the_fold(runtime: Runtime, post: Post, export: Export, now_ns: int) -> None:
    for number in range(3):
        attributes = {"trackside.user": f"u{number}", "http.response.status_code": (200, 404, 500)[number]}
        post(export({"time_unix_nano": now_ns - number, "attributes": attributes}).SerializeToString())
        fold.run(runtime, 1)
    found = live.read(runtime, 1, 10)
    assert found is not None
    [minute] = [minute for _, minute in found.minutes if minute.calls]
    assert (minute.calls, minute.client_errors, minute.server_errors) == (3, 1, 1)
    assert sum(minute.latency.values()) == 3
    assert found.active_users == 3
    assert sum(found.endpoints().values()) == 3


def test_a_flushed_redis_is_rebuilt_by_the_next_fold(
    runtime: Runtime, post: Post, export: Export, now_ns: int, redis_client: "redis.Redis[bytes]"
) -> None:
    for number in range(4):
        post(export({"time_unix_nano": now_ns - number}).SerializeToString())
        fold.run(runtime, 1)
        if number == 1:
            redis_client.flushall()
            assert live.read(runtime, 1, 10) is None
    assert counted(runtime) == 4
    redis_client.flushall()
    live.check(runtime, 1)
    assert counted(runtime) == 4


def test_a_change_told_twice_counts_once(runtime: Runtime, post: Post, export: Export, now_ns: int) -> None:
    post(export({"time_unix_nano": now_ns}).SerializeToString())
    folded = next(fold._fold(runtime, 1, None))
    for _ in range(2):
        live.tell(runtime, 1, folded.previous, folded.number, folded.change)
    assert counted(runtime) == 1


def test_routes_over_the_limit_share_one_endpoint(
    runtime: Runtime, post: Post, export: Export, now_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trackside_modules.usage.folding import endpoints

    monkeypatch.setattr(endpoints.resolve, "__defaults__", (3,))
    points = [{"time_unix_nano": now_ns, "attributes": {"http.route": f"/r{number}"}} for number in range(10)]
    post(export(*points).SerializeToString())
    fold.run(runtime, 1)
    assert total(runtime) == 10
    assert scalar(runtime, "select count(*) from usage_endpoint") == 4
    assert scalar(runtime, "select sum(points) from usage_warning where kind = 'endpoints-over'") == 7
