"""What the client adds up is what the server would have: the same buckets, nothing lost, memory bounded."""

import json
import math
import time
from itertools import pairwise
from threading import Thread

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trackside_client.usage import counters, otlp, reporter
from trackside_client.usage.counters import Counters
from trackside_client.usage.samples import MOST, Samples
from trackside_modules.usage.ingest.otlp import json_form, signals_json
from trackside_modules.usage.ingest.otlp.conventions import Naming
from trackside_modules.usage.ingest.otlp.normalise import normalise
from trackside_modules.usage.ingest.otlp.spans import take_spans
from trackside_modules.usage.storage import histogram

KEY = ("GET", "/orders", 200, "u1", "a1")
durations = st.floats(0, 1e6) | st.integers(-20, 13).map(lambda power: 2.0**power)
words = st.text(max_size=40)
ABOUT = otlp.resource("shop", "2.0", "i1")


def told(made: Counters) -> bytes:
    return otlp.metrics(ABOUT, made.take(), {})


@given(durations)
@example(counters.SHORTEST)
@example(math.nextafter(counters.SHORTEST, 1))
@example(3600.0)
def test_a_duration_has_the_servers_bucket(seconds: float) -> None:
    assert counters.index_of(seconds) == histogram.index_of(seconds)


@given(st.lists(durations, min_size=1, max_size=30))
def test_the_server_counts_what_was_added(seconds: list[float]) -> None:
    made = Counters()
    for each in seconds:
        made.add(KEY, 0.0, each)
    windows = made.take()
    expected: dict[int, int] = {}
    for each in seconds:
        histogram.merge(expected, {histogram.index_of(each): 1})
    points = [point for metric in json_form.read(otlp.metrics(ABOUT, windows, {})) for point in metric.points]
    found: dict[int, int] = {}
    for point in points:
        buckets = {point.offset + number: count for number, count in enumerate(point.counts) if count}
        histogram.merge(found, histogram.from_exponential(point.scale, buckets, point.zero))
    assert found == expected
    assert sum(point.count for point in points) == len(seconds)
    assert sum(point.total or 0 for point in points) == pytest.approx(sum(seconds))
    assert max(point.high or 0 for point in points) == max(seconds)


@given(words, words, words, words, st.integers(100, 599))
@example("/\ud800", "\udfff", '"', "\\", 500)
@example("/a", "\x00", "\u2028", "", 200)
def test_whatever_the_names_are_the_server_can_read_them(
    route: str, user: str, account: str, path: str, status: int
) -> None:
    made = Counters()
    made.add(("GET", route, status, user, account), 0.0, 0.1)
    batch, verdict = normalise(json_form.read(told(made)), Naming(), time.time_ns())
    assert (sum(each.calls for each in batch.calls), verdict.rejected) == (1, 0)
    samples = Samples()
    samples.note(("GET", route, status, user, account), path, 0.1, ValueError(path))
    json.loads(otlp.traces(ABOUT, samples.take()))


def test_over_the_cap_users_are_left_out_then_routes_and_every_request_counts() -> None:
    made = Counters(most=10)
    for number in range(50):
        made.add(("GET", f"/{number % 25}", 200, f"u{number}", ""), 0.0, 0.1)
    (window,) = made.take()
    assert window.calls == 50
    assert window.folded == 40
    assert len(window.series) <= 21
    assert ("GET", "/12", 200, "", "") in window.series
    assert ("_OTHER", "(other)", 200, "", "") in window.series


def test_a_window_never_crosses_a_minute() -> None:
    made = Counters()
    made.add(KEY, 0.0, 0.1)
    made._turns = 5.0  # the minute ends: requests that end from here on are of the next
    boundary = made._boundary
    made.add(KEY, 4.0, 4.9)
    made.add(KEY, 4.0, 5.1)
    made.fold()
    made._turns = time.perf_counter() + 60
    first, second = made.take()
    assert (first.calls, first.end) == (2, boundary)
    assert second.calls == 1
    assert all(one.end <= two.start or two.start >= one.start for one, two in pairwise((first, second)))


def test_what_was_noted_is_added_up_with_the_first_and_then_by_batches() -> None:
    folds: list[int] = []
    made = Counters(on_fold=lambda: folds.append(len(made.noted)))
    for _ in range(1 + 2 * counters.BATCH):
        made.add(KEY, 0.0, 0.1)
    assert folds == [1, counters.BATCH, counters.BATCH]
    made.add(KEY, 0.0, 0.1)
    assert sum(window.calls for window in made.take()) == 2 + 2 * counters.BATCH


def test_requests_of_many_threads_are_all_counted() -> None:
    made, most = Counters(), 2000
    taken: list[int] = []
    threads = [Thread(target=lambda: [made.add(KEY, 0.0, 0.1) for _ in range(most)]) for _ in range(4)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        taken += [window.calls for window in made.take()]
    assert sum(taken) + sum(window.calls for window in made.take()) == 4 * most


def test_a_status_line_counts_by_its_code_and_methods_and_routes_have_bounds() -> None:
    made = Counters()
    for status in ("200 OK", "200 Fine", 200, "none"):
        made.add(("GET", "/a", status, "", ""), 0.0, 0.1)
    made.add(("BREW", "/" + "a" * 1000, "418 I'm a teapot", "", ""), 0.0, 0.1)
    (window,) = made.take()
    assert {key: sum(each.buckets.values()) for key, each in window.series.items()} == {
        ("GET", "/a", 200, "", ""): 3,
        ("GET", "/a", 500, "", ""): 1,
        ("_OTHER", "/" + "a" * 299, 418, "", ""): 1,
    }


def test_a_forked_child_forgets_what_its_parent_noted() -> None:
    made = Counters()
    for _ in range(10):
        made.add(KEY, 0.0, 0.1)
    made.reset()
    assert made.take() == []
    made.add(KEY, 0.0, 0.1)
    assert [window.calls for window in made.take()] == [1]


def test_a_key_that_is_none_costs_no_other_request() -> None:
    made = Counters()
    for route in ("/a", ["/no", "text"], "/b"):
        made.add(("GET", route, 200, "", ""), 0.0, 0.1)
    with pytest.raises(TypeError):
        made.take()
    assert [window.calls for window in made.take()] == [2]


def test_a_request_that_a_destructor_ends_counts_with_the_next_window() -> None:
    made = Counters()
    with made._lock:
        made.add(KEY, 0.0, 0.1)  # as a destructor does, in a thread that is about adding up
    assert [window.calls for window in made.take()] == [1]
    assert made.take() == []


def test_only_a_few_samples_of_a_kind_are_kept() -> None:
    samples = Samples()
    for number in range(1000):
        samples.note(("GET", f"/{number % 20}", 500, "", ""), "/x?token=secret", 0.1, None)
    kept = samples.take()
    assert len(kept) == MOST
    assert {sample.path for sample in kept} == {"/x"}
    assert samples.take() == []


def test_what_the_client_had_to_leave_out_becomes_a_warning() -> None:
    made = Counters()
    made.add(KEY, 0.0, 0.1)
    body = otlp.metrics(ABOUT, made.take(), {reporter.FOLDED: 3, reporter.LOST: 4})
    batch, _ = normalise(json_form.read(body), Naming(), time.time_ns())
    assert {(it.kind, it.about, it.points) for it in batch.notices} == {
        ("client-folded", "shop", 3),
        ("client-lost", "shop", 4),
    }


def test_samples_are_examples_and_never_requests() -> None:
    samples = Samples()
    samples.note(("GET", "/orders", 500, "u1", "a1"), "/orders", 0.25, ValueError("no such luck"))
    samples.note(("GET", None, 404, "", ""), "/orders/8861/secret", 0.01, None)
    batch, verdict = take_spans(signals_json.spans(otlp.traces(ABOUT, samples.take())), Naming(), time.time_ns())
    assert (verdict.rejected, batch.requests) == (0, [])
    failed, lost = batch.samples
    assert (failed.subject.route, failed.subject.user, failed.error, failed.message) == (
        "/orders",
        "u1",
        "ValueError",
        "no such luck",
    )
    assert (lost.subject.status, lost.path) == (404, "/orders/{id}/secret")
