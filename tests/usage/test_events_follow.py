"""Which endpoint follows which: counted once for each request, in whatever batches and order they come."""

import io
import itertools
import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from trackside.auth.principal import KeyPrincipal
from trackside.clock import FrozenClock
from trackside.lane import LaneRequest
from trackside.runtime import Runtime
from trackside_modules.usage import jobs
from trackside_modules.usage.folding import endpoints, fold, follow
from trackside_modules.usage.folding.arrivals import Sightings
from trackside_modules.usage.ingest import store
from trackside_modules.usage.ingest.batch import Batch, Request, Subject
from trackside_modules.usage.ingest.events import door
from trackside_modules.usage.ingest.otlp.answers import Verdict
from trackside_modules.usage.ingest.store import Parcel
from trackside_modules.usage.queries import follows

Call = tuple[str, str, int]
"""User, route, seconds ago."""


@pytest.fixture
def send(runtime: Runtime) -> Callable[..., None]:
    handle = door.events(runtime)

    def post(*calls: Call) -> None:
        now = int(runtime.clock.now().timestamp())
        made = [
            {"ts": (now - ago) * 1000, "method": "GET", "route": route, "status": 200, "duration_ms": 1, "user": user}
            for user, route, ago in calls
        ]
        body = json.dumps({"events": made}).encode()
        environ = {
            "CONTENT_TYPE": "application/json",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        assert handle(LaneRequest(environ, "/v1/events", KeyPrincipal(7, 1, "ingest"))).status == "202 Accepted"

    return post


def steps(runtime: Runtime, **options: Any) -> dict[tuple[str, str], int]:
    now = runtime.clock.now()
    with runtime.database.session() as session:
        found = follows.top(session, 1, now - timedelta(days=2), now + timedelta(days=1), **options)
        return {(it.before.route, it.after.route): it.calls for it in found}


def test_neighbours_of_a_user_are_counted_within_ten_minutes(runtime: Runtime, send: Callable[..., None]) -> None:
    send(("ann", "/a", 1300), ("bob", "/b", 500), ("ann", "/a", 600), ("ann", "/b", 30), ("bob", "/a", 400))
    send(("", "/a", 9), ("", "/b", 8))
    fold.run(runtime, 1)
    assert steps(runtime) == {("/a", "/b"): 1, ("/b", "/a"): 1}


def test_a_request_follows_the_last_one_of_an_earlier_fold(runtime: Runtime, send: Callable[..., None]) -> None:
    send(("ann", "/a", 100))
    fold.run(runtime, 1)
    send(("ann", "/b", 50), ("ann", "/c", 40))
    fold.run(runtime, 1)
    assert steps(runtime) == {("/a", "/b"): 1, ("/b", "/c"): 1}


def test_two_processes_of_a_service_tell_one_story(runtime: Runtime, send: Callable[..., None]) -> None:
    send(("ann", "/a", 100), ("ann", "/c", 60))
    send(("ann", "/b", 80), ("ann", "/d", 40))
    fold.run(runtime, 1)
    assert steps(runtime) == {("/a", "/b"): 1, ("/b", "/c"): 1, ("/c", "/d"): 1}


def test_a_late_request_moves_nothing_back(runtime: Runtime, send: Callable[..., None]) -> None:
    send(("ann", "/a", 100))
    fold.run(runtime, 1)
    send(("ann", "/late", 300))
    fold.run(runtime, 1)
    send(("ann", "/b", 50))
    fold.run(runtime, 1)
    assert steps(runtime) == {("/a", "/b"): 1}


def test_a_repeat_changes_nothing(runtime: Runtime, send: Callable[..., None]) -> None:
    for _ in range(3):
        send(("ann", "/a", 100), ("ann", "/b", 90))
        fold.run(runtime, 1)
    assert steps(runtime) == {("/a", "/b"): 1}


def test_spans_tell_too_also_where_metrics_count(runtime: Runtime, send: Callable[..., None]) -> None:
    now = runtime.clock.now()
    requests = [
        Request(Subject("shop", "GET", route, 200, "ann", "acme"), int(now.timestamp() - ago) * 10**9, 5)
        for route, ago in (("/x", 20), ("/y", 10))
    ]
    batch = Batch([], [], [], requests=requests)
    store.shared(runtime).put(Parcel(1, b"spans", now, batch.pack(), Verdict()))
    send(("ann", "/z", 5))
    fold.run(runtime, 1)
    assert steps(runtime) == {("/x", "/y"): 1, ("/y", "/z"): 1}


def test_shares_are_of_all_that_follows(runtime: Runtime, send: Callable[..., None]) -> None:
    send(
        ("ann", "/a", 100), ("ann", "/b", 90), ("bob", "/a", 100), ("bob", "/c", 90), ("cat", "/a", 9), ("cat", "/a", 8)
    )
    fold.run(runtime, 1)
    now = runtime.clock.now()
    with runtime.database.session() as session:
        found = follows.top(session, 1, now - timedelta(days=1), now)
        assert [round(it.share, 3) for it in found] == [0.333, 0.333]
    assert ("/a", "/a") in steps(runtime, repeats=True)
    assert steps(runtime, service="other") == {}


def test_pairs_over_the_cap_are_told_and_counted_under_what_they_followed(
    runtime: Runtime, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(follow.note.__kwdefaults__, "most", 3)
    routes = ["/a", "/b", "/c", "/d", "/e", "/f", "/g"]
    send(*[("ann", route, 100 - place) for place, route in enumerate(routes)])
    fold.run(runtime, 1)
    send(*[("bob", route, 100 - place) for place, route in enumerate(routes)])
    fold.run(runtime, 1)
    with runtime.database.session() as session:
        rows = session.execute(text("select to_endpoint = 0, sum(calls), count(*) from usage_follow group by 1")).all()
        told = session.scalar(text("select points from usage_warning where kind = 'follow-over'"))
    assert {over: (int(calls), count) for over, calls, count in rows} == {False: (6, 3), True: (6, 3)}
    assert told == 6


def test_days_that_are_over_are_held_until_a_late_pair_falls_on_one(
    runtime: Runtime, send: Callable[..., None], clock: FrozenClock
) -> None:
    send(("ann", "/a", 100), ("ann", "/b", 90))
    fold.run(runtime, 1)
    at = int(clock.now().timestamp()) * 1000
    clock.advance(timedelta(days=1))
    jobs.roll_up(runtime)
    jobs.remember(runtime)
    assert steps(runtime) == {("/a", "/b"): 1}
    with runtime.database.session() as session:
        session.execute(text("update usage_follow set calls = 99"))  # as nobody does: what is held is not read again
    assert steps(runtime) == {("/a", "/b"): 1}
    send(("bob", "/b", 60), ("bob", "/a", 50))
    fold.run(runtime, 1)
    assert steps(runtime) == {("/a", "/b"): 1, ("/b", "/a"): 1}
    with runtime.database.pool.connection() as connection:
        ids = dict(connection.execute("select route, id from usage_endpoint").fetchall())
        late = _sightings([(9, at, ids["/b"]), (9, at + 1, ids["/b"])])
        follow.note(connection, 1, late, Counter(), clock.now())
    assert steps(runtime, repeats=True) == {("/a", "/b"): 99, ("/b", "/a"): 1, ("/b", "/b"): 1}


def test_what_followed_an_endpoint_that_is_gone_is_left_out(runtime: Runtime, send: Callable[..., None]) -> None:
    send(("ann", "/a", 100), ("ann", "/b", 90), ("ann", "/a", 80), ("ann", "/c", 70))
    send(("bob", "/a", 9), ("bob", "/b", 8))
    fold.run(runtime, 1)
    with runtime.database.session() as session:
        session.execute(text("delete from usage_endpoint where route = '/b'"))
    assert steps(runtime, limit=1) == {("/a", "/c"): 1}


def test_where_users_were_is_forgotten(runtime: Runtime, send: Callable[..., None], clock: FrozenClock) -> None:
    send(("ann", "/a", 100), ("ann", "/b", 90))
    fold.run(runtime, 1)
    clock.advance(timedelta(days=2))
    jobs.tidy(runtime)
    with runtime.database.session() as session:
        assert session.scalar(text("select count(*) from usage_trail_last")) == 0
        assert session.scalar(text("select count(*) from usage_follow")) == 1
    clock.advance(timedelta(days=401))
    jobs.tidy(runtime)
    with runtime.database.session() as session:
        assert session.scalar(text("select count(*) from usage_follow")) == 0


def test_routes_without_end_fill_neither_endpoints_nor_pairs(
    runtime: Runtime, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints.resolve, "__defaults__", (20,))
    for batch in range(4):
        send(
            *[
                ("ann", f"/word-{chr(97 + number % 26) * (1 + number // 26)}-{'abcd'[batch]}", 9)
                for number in range(300)
            ]
        )
    fold.run(runtime, 1)
    with runtime.database.session() as session:
        assert session.scalar(text("select count(*) from usage_endpoint")) == 21
        assert session.scalar(text("select sum(calls) from usage_minute")) == 1200
        assert session.scalar(text("select sum(points) from usage_warning where kind = 'endpoints-over'")) > 0


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3_000), st.integers(1, 4)), max_size=40),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_in_order_the_cuts_between_folds_do_not_matter(calls: list[tuple[int, int, int]], cuts: list[int]) -> None:
    calls = sorted(calls, key=lambda call: call[1])
    calls = [(user, 1000 * seconds + place, endpoint) for place, (user, seconds, endpoint) in enumerate(calls)]
    expected: Counter[tuple[int, int]] = Counter()
    previous: dict[int, tuple[int, int]] = {}
    for user, at, endpoint in calls:
        if user in previous and at - previous[user][0] <= 600_000:
            expected[previous[user][1], endpoint] += 1
        previous[user] = (at, endpoint)
    found: Counter[tuple[int, int]] = Counter()
    last: dict[int, tuple[int, int, int]] = {}
    bounds = [0, *sorted(cuts), len(calls)]
    for start, end in itertools.pairwise(bounds):
        if not calls[start:end]:
            continue
        known = [last[user] for user in {call[0] for call in calls[start:end]} if user in last]
        pairs, ends = follow.linked(_sightings(known), _sightings(calls[start:end]))
        for counted in pairs.values():
            found.update(counted)
        last |= {row[0]: row for row in zip(*(column.tolist() for column in ends.columns()), strict=True)}
    assert found == expected


def _sightings(rows: list[tuple[int, int, int]]) -> Sightings:
    return Sightings(*np.array(rows, np.int64).reshape(-1, 3).T)
