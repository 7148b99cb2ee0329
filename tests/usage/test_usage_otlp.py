"""OTLP as it comes: both encodings, every refusal in OTLP's own words, never a 500."""

import contextlib
import gzip
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from sqlalchemy import make_url

from trackside.lane import LaneResponse
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest.otlp import json_form, protobuf
from trackside_modules.usage.ingest.otlp.conventions import Naming
from trackside_modules.usage.ingest.otlp.normalise import normalise

Post = Callable[..., LaneResponse]
Export = Callable[..., Any]
JSON = "application/json"
NOW = 1_780_000_000 * 10**9


def take(request: Any) -> tuple[Any, Any]:
    return normalise(protobuf.read(request.SerializeToString()), Naming(), NOW)


def test_json_and_protobuf_say_the_same(export: Export) -> None:
    request = export(
        {
            "time_unix_nano": NOW,
            "counts": [3, 4, 1],
            "attributes": {"user.id": "ada", "http.response.status_code": 404},
        },
        {"time_unix_nano": NOW - 10**9, "start_time_unix_nano": 5, "min": 0.01, "max": 2.5},
    )
    text = json.dumps(MessageToDict(request)).encode()
    assert normalise(json_form.read(text), Naming(), NOW) == take(request)


def test_json_takes_what_exporters_write() -> None:
    point = {
        "timeUnixNano": str(NOW),
        "startTimeUnixNano": NOW - 1,
        "count": 3,
        "sum": 0.3,
        "scale": 5,
        "zeroCount": "1",
        "positive": {"offset": -160, "bucketCounts": ["2", 0]},
        "exemplars": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}],
        "attributes": [
            {"key": "http.route", "value": {"stringValue": "/é"}},
            {"key": "x", "value": {"arrayValue": {}}},
        ],
        "somethingNew": {"a": [1, {"b": None}]},
    }
    histogram = {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [point]}
    metric = {"name": "http.server.request.duration", "unit": "s", "exponentialHistogram": histogram}
    body = {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": None, "metrics": [metric]}]}]}
    batch, verdict = normalise(json_form.read(json.dumps(body).encode()), Naming(), NOW)
    [calls] = batch.calls
    assert (calls.calls, calls.subject.route, calls.approximate) == (3, "/é", False)
    assert not verdict.rejected


def test_old_names_are_brought_to_new_ones(export: Export) -> None:
    attributes = {"http.method": "post", "http.target": "/orders?page=2", "http.status_code": 201}
    old = export(
        {"time_unix_nano": NOW, "bounds": [100.0, 1000.0], "sum": 500.0, "attributes": attributes},
        name="http.server.duration",
        unit="ms",
    )
    for point in old.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points:
        del point.attributes[:3]
    batch, _ = take(old)
    [calls] = batch.calls
    assert (calls.subject.method, calls.subject.route, calls.subject.status) == ("POST", "/orders", 201)
    assert calls.micros == 500_000


def test_a_service_that_sends_both_names_is_counted_once(export: Export) -> None:
    both = export({"time_unix_nano": NOW})
    old = export({"time_unix_nano": NOW, "bounds": [100.0, 1000.0]}, name="http.server.duration", unit="ms")
    both.resource_metrics[0].scope_metrics[0].metrics.extend(old.resource_metrics[0].scope_metrics[0].metrics)
    batch, _ = take(both)
    assert sum(calls.calls for calls in batch.calls) == 1


def test_concatenated_requests_read_as_one(export: Export) -> None:
    body = export({"time_unix_nano": NOW}).SerializeToString() * 3
    batch, _ = normalise(protobuf.read(body), Naming(), NOW)
    assert sum(calls.calls for calls in batch.calls) == 3


def test_unknown_methods_routes_and_statuses_have_a_name(export: Export) -> None:
    odd = {"http.request.method": "FROBNICATE", "http.route": "", "http.response.status_code": 7}
    batch, _ = take(export({"time_unix_nano": NOW, "attributes": odd}))
    subject = batch.calls[0].subject
    assert (subject.method, subject.route, subject.status, subject.user) == ("_OTHER", "(unmatched)", 0, "")


def test_an_account_alone_is_its_own_user(export: Export) -> None:
    batch, _ = take(export({"time_unix_nano": NOW, "attributes": {"trackside.account": "acme"}}))
    assert (batch.calls[0].subject.user, batch.calls[0].subject.account) == ("acme", "acme")


@pytest.mark.parametrize("user", ["a" * 201, "a\x00b", "a\u202eb"])
def test_an_unusable_user_counts_as_nobody_and_is_told(export: Export, user: str) -> None:
    batch, _ = take(export({"time_unix_nano": NOW, "attributes": {"trackside.user": user}}))
    assert batch.calls[0].subject.user == ""
    assert [notice.kind for notice in batch.notices] == ["user-unusable"]


DAY = 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ({"sum": -1.0}, "negative or not numbers"),
        ({"sum": float("nan")}, "negative or not numbers"),
        ({"max": float("inf")}, "negative or not numbers"),
        ({"sum": 1e300}, "longer than 7 days"),
        ({"counts": [2**62, 0, 0]}, "impossibly large"),
        ({"count": 5}, "do not add up"),
        ({"counts": [1, 1]}, "one bucket more"),
        ({"bounds": [1.0, 1.0]}, "not rising"),
        ({"bounds": [float("nan"), 1.0]}, "not rising"),
        ({"time_unix_nano": 0}, "has no time"),
        ({"time_unix_nano": NOW + 2 * DAY}, "24 hours ahead"),
        ({"time_unix_nano": 2**64 - 1}, "24 hours ahead"),
        ({"time_unix_nano": NOW - 401 * DAY}, "400 days ago"),
    ],
)
def test_an_impossible_point_is_refused_and_its_neighbour_taken(export: Export, point: Any, reason: str) -> None:
    batch, verdict = take(export({"time_unix_nano": NOW} | point, {"time_unix_nano": NOW}))
    assert verdict.rejected == 1
    assert reason in verdict.message
    assert sum(calls.calls for calls in batch.calls) == 1


@pytest.mark.parametrize(("metric", "reason"), [({"unit": "fortnights"}, "unit"), ({"temporality": 0}, "temporality")])
def test_a_metric_that_cannot_be_used_is_refused_whole(export: Export, metric: Any, reason: str) -> None:
    _, verdict = take(export({"time_unix_nano": NOW}, {"time_unix_nano": NOW}, **metric))
    assert verdict.rejected == 2
    assert reason in verdict.message


def test_other_metrics_are_accepted_and_left_out(export: Export) -> None:
    batch, verdict = take(export({"time_unix_nano": NOW}, name="http.server.active_requests"))
    assert not batch.calls
    assert (verdict.rejected, verdict.message) == (0, "")


def test_a_clock_that_is_ahead_counts_at_arrival(export: Export) -> None:
    batch, verdict = take(export({"time_unix_nano": NOW + 3600 * 10**9}))
    assert batch.calls[0].minute == (NOW - 1) // (60 * 10**9)
    assert batch.notices[0].kind == "clock-ahead"
    assert not verdict.rejected


def test_missing_users_are_told_without_refusing(export: Export) -> None:
    _, verdict = take(export({"time_unix_nano": NOW}, {"time_unix_nano": NOW, "attributes": {"user.id": "a"}}))
    assert verdict.rejected == 0
    assert "user id missing on 50 % of points" in verdict.message


def test_an_empty_request_is_a_success(post: Post) -> None:
    answer = post(b"")
    assert (answer.status, answer.body) == ("200 OK", b"")
    assert post(b"{}", JSON).body == b"{}"


def test_refused_points_are_told_in_the_requests_own_type(post: Post, export: Export, now_ns: int) -> None:
    request = export({"time_unix_nano": now_ns, "sum": -1.0}, {"time_unix_nano": now_ns})
    answer = ExportMetricsServiceResponse.FromString(post(request.SerializeToString()).body)
    assert answer.partial_success.rejected_data_points == 1
    said = json.loads(post(json.dumps(MessageToDict(request)).encode(), JSON).body)
    assert said["partialSuccess"]["rejectedDataPoints"] == "1"


DEEP = b'{"resourceMetrics":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"\xff\xff\xff", "application/x-protobuf", 400),
        (b"{", JSON, 400),
        (DEEP, JSON, 400),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON, 400),
        (b'{"resourceMetrics": 3}', JSON, 400),
        (b'{"resourceMetrics": [{"resource": {"attributes": [{"key": "\\ud800"}]}}]}', JSON, 400),
        (b"\xc3\x28", JSON, 400),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"", "", 415),
    ],
)
def test_what_cannot_be_read_is_refused_for_good(post: Post, body: bytes, media: str, status: int) -> None:
    answer = post(body, media)
    assert answer.status.startswith(str(status))
    if media == "application/x-protobuf":
        assert Status.FromString(answer.body).code == 3
    else:
        assert json.loads(answer.body)["code"] == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", "1e3"), ("count", 2**70), ("count", 1.5), ("timeUnixNano", "9" * 30), ("sum", "much")],
)
def test_a_number_that_is_none_is_refused(post: Post, export: Export, field: str, value: Any) -> None:
    body = MessageToDict(export({"time_unix_nano": NOW}))
    body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"][0][field] = value
    assert post(json.dumps(body).encode(), JSON).status.startswith("400")


def test_gzip_is_taken_and_a_bomb_refused(post: Post, export: Export, now_ns: int) -> None:
    body = export({"time_unix_nano": now_ns}).SerializeToString()
    assert post(gzip.compress(body), HTTP_CONTENT_ENCODING="gzip").status == "200 OK"
    bomb = gzip.compress(bytes(65 * 2**20))
    assert post(bomb, HTTP_CONTENT_ENCODING="gzip").status.startswith("413")
    assert post(b"not gzip", HTTP_CONTENT_ENCODING="gzip").status.startswith("400")
    assert post(body, HTTP_CONTENT_ENCODING="br").status.startswith("415")


def test_the_same_batch_zipped_differently_is_the_same(
    runtime: Runtime, post: Post, export: Export, now_ns: int
) -> None:
    body = export({"time_unix_nano": now_ns}).SerializeToString()
    post(body)
    for level in (1, 9):
        post(gzip.compress(body, level), HTTP_CONTENT_ENCODING="gzip")
    assert fold.run(runtime, 1) == 1


def test_a_database_that_is_away_is_a_503_to_come_back_from(
    post: Post, export: Export, now_ns: int, runtime: Runtime
) -> None:
    url = make_url(runtime.settings.database_url)
    name, other = url.database, url.set(drivername="postgresql", database="postgres")
    with psycopg.connect(other.render_as_string(hide_password=False)) as admin:
        admin.autocommit = True
        admin.execute(f'alter database "{name}" allow_connections false')  # type: ignore[call-overload]
        answer = post(export({"time_unix_nano": now_ns}).SerializeToString())
        admin.execute(f'alter database "{name}" allow_connections true')  # type: ignore[call-overload]
    assert answer.status.startswith("503")
    assert dict(answer.headers)["Retry-After"].isdigit()
    assert Status.FromString(answer.body).code == 14


@given(st.binary(max_size=400))
def test_no_bytes_break_the_protobuf_reader(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        normalise(protobuf.read(body), Naming(), NOW)


@given(st.binary(min_size=1, max_size=6), st.integers(0, 300))
def test_a_damaged_request_is_read_or_refused(noise: bytes, place: int) -> None:
    whole = bytearray(_SAMPLE)
    whole[place : place + len(noise)] = noise
    try:
        batch, verdict = normalise(protobuf.read(bytes(whole)), Naming(), NOW)
    except ValueError:
        return
    assert verdict.rejected >= 0
    assert all(calls.calls > 0 and calls.micros >= 0 for calls in batch.calls)


def _sample() -> bytes:
    request = ExportMetricsServiceRequest()
    metric = (
        request.resource_metrics.add().scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    )
    metric.exponential_histogram.aggregation_temporality = 1
    for scale in (0, 3, 8, 20):
        point = metric.exponential_histogram.data_points.add(time_unix_nano=NOW, count=6, sum=1.5, scale=scale)
        point.zero_count = 1
        point.positive.offset = -20
        point.positive.bucket_counts.extend([1, 2, 0, 2])
        point.attributes.add(key="trackside.user").value.string_value = "ada"
    return request.SerializeToString()


_SAMPLE = _sample()
