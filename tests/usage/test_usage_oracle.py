"""The fold against a plain oracle: batches in any order, repeated, split into folds anywhere, streams that restart."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackside.lane import LaneResponse
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold

ROUTES = ("/a", "/b")
USERS = ("", "ada", "bob")
delta = st.fixed_dictionaries(
    {
        "route": st.sampled_from(ROUTES),
        "user": st.sampled_from(USERS),
        "ago": st.integers(0, 3),
        "calls": st.integers(1, 9),
    }
)
deltas = st.lists(st.lists(delta, min_size=1, max_size=4), max_size=5)
growth = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@given(
    batches=deltas,
    streams=st.lists(growth, max_size=3),
    repeats=st.lists(st.integers(0, 99), max_size=4),
    folds=st.sets(st.integers(0, 20)),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_counts_are_those_of_the_distinct_batches(
    runtime: Runtime,
    post: Callable[..., LaneResponse],
    export: Callable[..., Any],
    now_ns: int,
    batches: list[list[dict[str, Any]]],
    streams: list[list[int]],
    repeats: list[int],
    folds: set[int],
    order: Any,
) -> None:
    _empty(runtime)
    expected: Counter[tuple[str, str]] = Counter()
    bodies: list[bytes] = []
    for number, batch in enumerate(batches):
        points = []
        for at, it in enumerate(batch):
            attributes = {"http.route": it["route"]} | ({"trackside.user": it["user"]} if it["user"] else {})
            time = now_ns - it["ago"] * 60 * 10**9 - number * 10 - at
            points.append({"time_unix_nano": time, "counts": [it["calls"], 0, 0], "attributes": attributes})
            expected[it["route"], it["user"]] += it["calls"]
        bodies.append(export(*points).SerializeToString())
    for number, grown in enumerate(streams):
        # readings of one stream may be lost or come in any order: the newest tells it all
        total = 0
        for place, by in enumerate(grown):
            total += by
            point = {
                "start_time_unix_nano": now_ns - 9 - number,
                "time_unix_nano": now_ns + place,
                "counts": [total, 0, 0],
            }
            if total:
                bodies.append(export(point, temporality=2).SerializeToString())
        expected["/orders", ""] += total
    sent = bodies + [bodies[place % len(bodies)] for place in repeats if bodies]
    order.shuffle(sent)
    for place, body in enumerate(sent):
        assert post(body).status == "200 OK"
        if place in folds:
            fold.run(runtime, 1)
    fold.run(runtime, 1)
    assert _counts(runtime) == +expected


def _empty(runtime: Runtime) -> None:
    with runtime.database.pool.connection() as connection:
        names = "inbox, usage_batch, usage_stream, usage_minute, usage_endpoint_minute, usage_dirty, usage_warning"
        connection.execute(f"truncate usage_{names}")


def _counts(runtime: Runtime) -> Counter[tuple[str, str]]:
    with runtime.database.pool.connection() as connection:
        rows = connection.execute(
            "select e.route, u.external_id, sum(m.calls)::int from usage_minute m"
            " join usage_endpoint e on e.id = m.endpoint_id join customer_user u on u.id = m.user_id group by 1, 2"
        ).fetchall()
    return Counter({(route, user): calls for route, user, calls in rows})
