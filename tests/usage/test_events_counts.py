"""What a repeat is answered and changes, and that counts and percentiles are those of the events."""

import gzip
import json
import math
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold, identities
from trackside_modules.usage.folding.arrivals import indexes
from trackside_modules.usage.storage.histogram import index_of, merge, percentiles, unpack, upper_bounds

Post = Callable[..., tuple[int, Any]]


def counted(runtime: Runtime) -> int:
    fold.run(runtime, 1)
    with runtime.database.session() as session:
        return int(session.scalar(text("select coalesce(sum(calls), 0) from usage_minute")) or 0)


def test_a_repeat_is_answered_as_the_first_and_counts_nothing(runtime: Runtime, send_events: Post, event: Any) -> None:
    batch = {"events": [event(), event(status=7)]}
    first = send_events(batch)
    assert first[1]["duplicate"] is False
    for _ in range(3):
        assert send_events(batch) == (202, {**first[1], "duplicate": True})
    assert send_events(gzip.compress(json.dumps(batch).encode()), HTTP_CONTENT_ENCODING="gzip")[1]["duplicate"] is True
    assert send_events(batch, key_id=8)[1]["duplicate"] is False
    assert counted(runtime) == 2
    assert send_events(batch)[1]["duplicate"] is True
    assert counted(runtime) == 2


def test_repeats_are_noticed_for_the_page_of_sources(runtime: Runtime, send_events: Post, event: Any) -> None:
    batch = {"events": [event()]}
    for _ in range(3):
        send_events(batch)
    with runtime.database.session() as session:
        noticed = session.execute(text("select kind, points from usage_warning")).all()
    assert noticed == [("batch-repeated", 2)]


def test_a_batch_id_with_another_payload_changes_nothing_and_says_so(
    runtime: Runtime, send_events: Post, event: Any
) -> None:
    assert send_events({"batch_id": "b1", "events": [event()]})[1] == {
        "accepted": 1,
        "duplicate": False,
        "rejected": [],
    }
    said = send_events({"batch_id": "b1", "events": [event(), event()]})[1]
    assert (said["accepted"], said["duplicate"]) == (1, True)
    assert "another payload" in said["note"]
    assert send_events({"batch_id": "b2", "events": [event()]})[1]["duplicate"] is False
    assert counted(runtime) == 2


def test_a_batch_may_be_named_in_a_header(send_events: Post, event: Any) -> None:
    line = json.dumps(event()).encode()
    assert send_events(line, "application/x-ndjson", HTTP_IDEMPOTENCY_KEY='"n1"')[1]["duplicate"] is False
    assert send_events(line, "application/x-ndjson", HTTP_IDEMPOTENCY_KEY="n1")[1]["duplicate"] is True
    assert send_events({"batch_id": "n1", "events": [event()]}, HTTP_IDEMPOTENCY_KEY="n1")[1]["duplicate"] is True
    assert send_events({"batch_id": "n1", "events": []}, HTTP_IDEMPOTENCY_KEY="n2")[0] == 422
    assert send_events(line, "application/x-ndjson", HTTP_IDEMPOTENCY_KEY="a\x1fb")[0] == 422


def test_of_many_repeats_at_once_one_counts(runtime: Runtime, send_events: Post, event: Any) -> None:
    batch = {"batch_id": "race", "events": [event()] * 5}
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(send_events(batch)[1]["duplicate"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, True, True, True]
    assert counted(runtime) == 5


@given(st.lists(st.floats(0, 2 * 3600, allow_nan=False), min_size=1))
def test_many_buckets_are_what_one_is(seconds: list[float]) -> None:
    for value, found in zip(seconds, indexes(np.array(seconds)).tolist(), strict=True):
        assert found == index_of(value) or math.isclose(upper_bounds()[found - indexes(np.zeros(1))[0]], value)


ROUTES = ("/a", "/b/{id}", "/c")


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 180),
                st.sampled_from(ROUTES),
                st.sampled_from((200, 404, 500)),
                st.sampled_from(("ann", "bob", None)),
                st.floats(0.02, 3_600_000.0),
            ),
            min_size=1,
            max_size=30,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_counts_are_exact_and_percentiles_within_the_promise(
    runtime: Runtime, send_events: Post, batches: list[list[tuple[int, str, int, str | None, float]]]
) -> None:
    with runtime.database.session() as session:
        session.execute(text("truncate usage_minute, usage_inbox, usage_batch"))
    now = int(runtime.clock.now().timestamp())
    expected: Counter[tuple[str, int, str]] = Counter()
    durations: list[float] = []
    for number, rows in enumerate(batches):
        made = [
            {
                "ts": (now - ago) * 1000,
                "method": "GET",
                "route": route,
                "status": status,
                "duration_ms": ms,
                "user": user,
            }
            for ago, route, status, user, ms in rows
        ]
        assert send_events({"batch_id": str(number), "events": made})[1]["accepted"] == len(rows)
        expected.update((route, status, user or "") for _, route, status, user, _ in rows)
        durations += [ms for *_, ms in rows]
    assert counted(runtime) == len(durations)
    latency: dict[int, int] = {}
    found: Counter[tuple[str, int, str]] = Counter()
    with runtime.database.session() as session:
        query = (
            "select e.route, m.status, coalesce(u.external_id, ''), m.calls, m.latency from usage_minute m"
            " join usage_endpoint e on e.id = m.endpoint_id left join customer_user u on u.id = m.user_id"
        )
        for route, status, user, calls, packed in session.execute(text(query)):
            found[route, status, user] += calls
            merge(latency, unpack(packed))
        assert session.scalar(text("select sum(micros) from usage_minute")) == sum(round(ms * 1000) for ms in durations)
    assert found == expected
    durations.sort()
    for quantile in (0.5, 0.95, 0.99, 1.0):
        exact = durations[max(1, math.ceil(quantile * len(durations))) - 1] / 1000
        (estimated,) = percentiles(latency, quantile)
        assert estimated == pytest.approx(exact, rel=0.022)


def test_new_users_without_end_count_as_nobody_and_are_told(
    runtime: Runtime, send_events: Post, event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities.resolve, "__defaults__", (20,))
    for batch in range(3):
        send_events({"events": [event(user=f"u-{batch}-{number}") for number in range(100)]})
    assert counted(runtime) == 300
    send_events({"events": [event(user=f"u-{batch}-0") for batch in range(9)]})
    assert counted(runtime) == 309
    with runtime.database.session() as session:
        assert session.scalar(text("select count(*) from customer_user where id <> 0")) == 20
        assert session.scalar(text("select points from usage_warning where kind = 'users-over'")) >= 280


def test_a_large_body_is_read_the_same(runtime: Runtime, send_events: Post, event: Any) -> None:
    sent = [event(user=f"u-{number % 50}", error="x" * 150) for number in range(5000)]
    sent[7] = event(status=7)
    sent[8]["color"] = "red"
    body = json.dumps({"events": sent}).encode()
    assert len(body) > 2**20
    status, said = send_events(body)
    assert (status, said["accepted"], [each["index"] for each in said["rejected"]]) == (202, 4998, [7, 8])
    lines = b"\n".join(json.dumps(each).encode() for each in sent)
    assert send_events(lines, "application/x-ndjson") == (status, said)
    assert counted(runtime) == 2 * 4998
