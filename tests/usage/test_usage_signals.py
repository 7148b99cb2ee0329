"""Traces and logs at the door: what is taken, what is refused, and who counts a request that both tell of."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from trackside.auth.audit import SYSTEM
from trackside.clock import FrozenClock
from trackside.customers.erase import erase
from trackside.customers.kinds import USER
from trackside.customers.service import by_external_id, edit
from trackside.runtime import Runtime
from trackside_modules.usage import jobs
from trackside_modules.usage.folding import fold, seen, takeover
from trackside_modules.usage.ingest.notable import mask

NANO = 10**9
Post = Callable[..., Any]
Traces = Callable[..., bytes]


def _put(attributes: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        kind = "int_value" if isinstance(value, int) else "string_value"
        setattr(attributes.add(key=key).value, kind, value)


@pytest.fixture
def traces(now_ns: int) -> Traces:
    """Make a request with one server span for each of `spans`: attributes over the usual ones, `_end`, `_micros`."""

    def make(*spans: dict[str, Any], service: str = "shop", **resource: str) -> bytes:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add()
        _put(scope.resource.attributes, {"service.name": service} | resource)
        group = scope.scope_spans.add()
        for given in spans:
            values = {"http.request.method": "GET", "http.route": "/orders/{id}", "http.response.status_code": 200}
            values |= given
            end = values.pop("_end", now_ns)
            span = group.spans.add(kind=values.pop("_kind", Span.SPAN_KIND_SERVER), end_time_unix_nano=end)
            span.start_time_unix_nano = end - values.pop("_micros", 20_000) * 1000
            span.trace_id = bytes(range(16))
            for name in ("type", "message"):
                if f"_{name}" in values:
                    event = span.events[0] if span.events else span.events.add(name="exception")
                    _put(event.attributes, {f"exception.{name}": values.pop(f"_{name}")})
            _put(span.attributes, {key: value for key, value in values.items() if value is not None})
        return request.SerializeToString()

    return make


def counted(runtime: Runtime, sql: str = "select coalesce(sum(calls), 0)::int from usage_minute") -> Any:
    fold.run(runtime, 1)
    with runtime.database.pool.connection() as connection:
        rows = connection.execute(sql).fetchall()
    return rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else rows


def later(runtime: Runtime, **delta: float) -> None:
    clock = runtime.clock
    assert isinstance(clock, FrozenClock)
    clock.advance(timedelta(**delta))


def test_spans_of_a_service_without_metrics_wait_once_and_then_count_at_once(
    runtime: Runtime, post: Post, traces: Traces, now_ns: int
) -> None:
    assert post(traces({}, {}, {}), path="/v1/traces").status == "200 OK"
    assert counted(runtime) == 0
    assert jobs.waiting(runtime) == []
    later(runtime, seconds=91)
    assert jobs.waiting(runtime) == [1]
    assert counted(runtime) == 3
    assert jobs.waiting(runtime) == []
    post(traces({"_end": now_ns + 90 * NANO}), path="/v1/traces")
    assert counted(runtime) == 4


def test_spans_of_a_service_with_metrics_are_counted_by_those(
    runtime: Runtime, post: Post, traces: Traces, export: Callable[..., Any], now_ns: int
) -> None:
    post(traces(*[{"_end": now_ns - at * NANO} for at in range(10)]), path="/v1/traces")
    assert counted(runtime) == 0
    point = {"start_time_unix_nano": now_ns - 60 * NANO, "time_unix_nano": now_ns, "counts": [0, 10, 0]}
    post(export(point).SerializeToString())
    assert counted(runtime) == 10
    post(traces({"_end": now_ns - 5 * NANO}), path="/v1/traces")
    later(runtime, minutes=5)
    assert counted(runtime) == 10
    with runtime.database.pool.connection() as connection:
        assert connection.execute("select count(*) from usage_held").fetchone() == (0,)


@pytest.mark.parametrize("temporality", [1, 2])
def test_metrics_that_begin_later_take_over_without_counting_twice(
    runtime: Runtime, post: Post, traces: Traces, export: Callable[..., Any], now_ns: int, temporality: int
) -> None:
    """A service counted by spans gets metrics: ten calls a minute, told by both, from the second minute on."""
    minute = 60 * NANO
    post(traces({}), path="/v1/traces")
    later(runtime, seconds=120)
    assert counted(runtime) == 1
    begun = now_ns + 2 * minute
    total = 0
    for number in range(4):
        start = begun + number * minute
        later(runtime, seconds=60)
        post(traces(*[{"_end": start + 5 * NANO * place + 1} for place in range(10)]), path="/v1/traces")
        counted(runtime)
        total += 10
        since = begun if temporality == 2 else start
        count = total if temporality == 2 else 10
        point = {"start_time_unix_nano": since, "time_unix_nano": start + minute, "counts": [0, count, 0]}
        post(export(point, temporality=temporality).SerializeToString())
        assert counted(runtime) == 1 + total


def test_spans_count_where_metrics_fell_silent(
    runtime: Runtime, post: Post, traces: Traces, export: Callable[..., Any], now_ns: int
) -> None:
    point = {"start_time_unix_nano": now_ns - NANO, "time_unix_nano": now_ns, "counts": [0, 1, 0]}
    post(export(point).SerializeToString())
    assert counted(runtime) == 1
    later(runtime, minutes=10)
    post(traces({"_end": now_ns + 600 * NANO}), path="/v1/traces")
    later(runtime, minutes=49)
    assert counted(runtime) == 1
    later(runtime, minutes=2)
    assert jobs.waiting(runtime) == [1]
    assert counted(runtime) == 2


def test_what_waits_is_bounded(runtime: Runtime, post: Post, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "MOST_HELD", 0)
    post(traces({}, {}), path="/v1/traces")
    assert counted(runtime) == 2
    monkeypatch.setattr(takeover, "MOST_SERVICES", 0)
    post(traces({}, service="another"), path="/v1/traces")
    assert counted(runtime) == 3


def test_what_apitally_leaves_out_of_its_metrics_counts_by_its_spans(
    runtime: Runtime, post: Post, traces: Traces, export: Callable[..., Any], now_ns: int
) -> None:
    point = {"start_time_unix_nano": now_ns - 60 * NANO, "time_unix_nano": now_ns, "counts": [0, 1, 0]}
    post(export(point).SerializeToString())
    lost = {"http.route": None, "http.response.status_code": 404, "url.path": "/users/ann@example.org/44"}
    body = traces({}, lost, {"http.request.method": "OPTIONS"}, **{"telemetry.distro.name": "apitally-py"})
    post(body, path="/v1/traces")
    found = counted(
        runtime,
        "select e.method, e.route, m.status, m.calls from usage_minute m join usage_endpoint e on e.id = m.endpoint_id",
    )
    assert sorted(found) == [
        ("GET", "(unmatched)", 404, 1),
        ("GET", "/orders", 200, 1),
        ("OPTIONS", "/orders/{id}", 200, 1),
    ]
    assert counted(runtime, "select path from usage_sample") == "/users/{id}/{id}"


def test_only_http_servers_spans_count(runtime: Runtime, post: Post, traces: Traces) -> None:
    other = {"_kind": Span.SPAN_KIND_CLIENT}
    rpc = {"http.request.method": None, "http.response.status_code": None, "http.route": None, "rpc.system": "grpc"}
    post(traces(other, rpc, {}), path="/v1/traces")
    later(runtime, seconds=100)
    assert counted(runtime) == 1


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"_micros": -5}, "ends before it starts"),
        ({"_end": 0, "_micros": 0}, "no time"),
        ({"_micros": 8 * 24 * 3600 * 10**6}, "longer than 7 days"),
        ({"_end": 2**63, "_micros": 1}, "24 hours ahead"),
        ({"_end": 10**9, "_micros": 1}, "400 days ago"),
        ({"url.path": "x" * 300_000}, "larger than 256 KiB"),
    ],
)
def test_an_impossible_span_is_refused_and_its_neighbour_taken(
    runtime: Runtime, post: Post, traces: Traces, span: dict[str, Any], reason: str
) -> None:
    answer = post(traces(span, {"_micros": 0}), path="/v1/traces")
    told = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_spans) == ("200 OK", 1)
    assert reason in told.error_message
    later(runtime, seconds=100)
    assert counted(runtime) == 1


def _json(span: dict[str, Any]) -> bytes:
    spans = [{"kind": 2, "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]} | span]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "js"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}], "new": 1}).encode()


def test_json_ids_are_hex_and_unknown_fields_ignored(runtime: Runtime, post: Post, now_ns: int) -> None:
    times = {"startTimeUnixNano": str(now_ns - 1000), "endTimeUnixNano": str(now_ns)}
    event = {"name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": "KeyError"}}]}
    ids = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "what": {"ever": []}}
    for given in (ids, {"traceId": "not hex"}):
        answer = post(_json(times | given | {"events": [event]}), "application/json", path="/v1/traces")
        assert (answer.status, answer.body) == ("200 OK", b"{}")
    found = counted(runtime, "select trace, error, status from usage_sample order by trace")
    assert found == [("", "KeyError", 500), ("5b8efff798038103d269b633813fc60c", "KeyError", 500)]


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
def test_nonsense_is_answered_by_a_status(post: Post, path: str) -> None:
    deep = b'{"resourceLogs":' + b"[" * 100_000
    for body in (deep, b"{", b"[]", b'{"resourceSpans": 1, "resourceLogs": 1}', b"\xff"):
        answer = post(body, "application/json", path=path)
        assert answer.status.startswith("400"), body[:20]
        assert msgspec.json.decode(answer.body)["code"] == 3
    answer = post(b"\x0b\x0c", path=path)
    assert answer.status.startswith("400")
    assert Status.FromString(answer.body).code == 3
    assert post(b"", path=path).status == "200 OK"
    assert post(b"x", "text/plain", path=path).status.startswith("415")
    nested = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 20_000
    assert post(nested, "application/json", path=path).status.startswith("400")


@pytest.fixture
def logs(now_ns: int) -> Callable[..., bytes]:
    """Make a request with log records given as `(event, body, attributes)`; a dict as body becomes a map."""

    def make(*records: tuple[str, Any, dict[str, Any]], service: str = "shop") -> bytes:
        request = ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        _put(resource.resource.attributes, {"service.name": service, "telemetry.distro.name": "apitally-py"})
        group = resource.scope_logs.add()
        for event, body, attributes in records:
            record = group.log_records.add(event_name=event, time_unix_nano=now_ns)
            _put(record.attributes, attributes)
            _value(record.body, body)
        return request.SerializeToString()

    return make


def _value(into: Any, value: Any) -> None:
    match value:
        case dict():
            into.kvlist_value.SetInParent()
            for key, each in value.items():
                _value(into.kvlist_value.values.add(key=key).value, each)
        case list():
            into.array_value.SetInParent()
            for each in value:
                _value(into.array_value.values.add(), each)
        case int():
            into.int_value = value
        case _:
            into.string_value = value


def _crash(message: str, **counts: int) -> tuple[str, Any, dict[str, Any]]:
    told = [{"consumer": user, "count": count} for user, count in counts.items()]
    body = {"method": "GET", "path": "/orders/<id>", "type": "builtins.KeyError", "message": message, "counts": told}
    return "apitally.request.server_error", body, {}


def test_apitallys_errors_are_grouped_with_counts_and_users(
    runtime: Runtime, post: Post, logs: Callable[..., bytes]
) -> None:
    post(logs(_crash("order 17 of 'ann' is gone", ann=3, ben=2)), path="/v1/logs")
    post(logs(_crash("order 4711 of 'ben' is gone", ben=1)), path="/v1/logs")
    found = counted(runtime, "select message, status, calls, users from usage_error")
    assert [row[:3] for row in found] == [("order <n> of <value> is gone", 500, 6)]
    assert len(seen.reach.unpack(found[0][3])) == 2
    assert counted(runtime, "select sum(calls)::int from usage_error_hour") == 6


def test_a_500_that_apitally_counts_is_no_second_failure_by_its_span(
    runtime: Runtime, post: Post, logs: Callable[..., bytes], traces: Traces
) -> None:
    post(logs(_crash("gone", ann=1)), path="/v1/logs")
    span = {"http.response.status_code": 500, "http.route": "/orders/<id>", "_type": "KeyError", "_message": "gone"}
    post(traces(span, **{"telemetry.distro.name": "apitally-py"}), path="/v1/traces")
    assert counted(runtime, "select sum(calls)::int from usage_error") == 1
    assert counted(runtime, "select count(*)::int from usage_sample") == 1


def test_names_and_groups_of_consumers_fill_what_nobody_typed(
    runtime: Runtime, post: Post, logs: Callable[..., bytes]
) -> None:
    actor, now = SYSTEM, runtime.clock.now()

    def told(name: str, group: str) -> None:
        body = {"identifier": "ann", "name": name, "group": group, "attributes": {"plan": "pro"}}
        post(logs(("apitally.consumer.update", body, {})), path="/v1/logs")
        fold.run(runtime, 1)

    told("Ann", "acme")
    with runtime.database.session() as session:
        ann = by_external_id(session, USER, "ann")
        assert (ann.name, ann.account and ann.account.external_id) == ("Ann", "acme")
        edit(session, ann, actor, {"name": "Ann of Sales"}, now=now)
    told("Annie", "other")
    with runtime.database.session() as session:
        ann = by_external_id(session, USER, "ann")
        assert (ann.name, ann.account and ann.account.external_id) == ("Ann of Sales", "acme")


def test_a_startup_event_tells_routes_and_version(runtime: Runtime, post: Post, logs: Callable[..., bytes]) -> None:
    paths = [{"method": "get", "path": "/orders/<int:id>"}, {"method": "POST", "path": "/orders"}]
    body = json.dumps({"paths": paths, "versions": {"app": "1.2.3", "flask": "3"}, "openapi": "x" * 300_000})
    post(logs(("apitally.app.startup", body, {})), path="/v1/logs")
    assert counted(runtime, "select method, route from usage_route order by 1") == [
        ("GET", "/orders/<int:id>"),
        ("POST", "/orders"),
    ]
    assert counted(runtime, "select version from usage_version") == "1.2.3"


@pytest.mark.parametrize(
    "record",
    [
        ("apitally.app.startup", "{" * 1000, {}),
        ("apitally.app.startup", {"no": "text"}, {}),
        ("apitally.consumer.update", {"identifier": "\x00"}, {}),
        ("apitally.consumer.update", "[1]", {}),
        ("apitally.request.server_error", {"counts": [{"count": -1}]}, {}),
        ("apitally.request.server_error", {"counts": [{"count": "many"}]}, {}),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    runtime: Runtime, post: Post, logs: Callable[..., bytes], record: Any
) -> None:
    answer = post(logs(record, _crash("x", ann=1)), path="/v1/logs")
    assert answer.status == "200 OK"
    assert b"1 log records refused" in answer.body
    assert counted(runtime, "select calls::int from usage_error") == 1


def test_a_logged_exception_counts_unless_spans_tell_of_it(
    runtime: Runtime, post: Post, logs: Callable[..., bytes], traces: Traces
) -> None:
    thrown = ("", "it broke", {"exception.type": "ValueError", "exception.message": "no 17"})
    post(logs(thrown), path="/v1/logs")
    assert counted(runtime, "select service, endpoint_id, status, error, message, calls from usage_error") == [
        ("shop", 0, 0, "ValueError", "no <n>", 1)
    ]


def test_secrets_and_addresses_are_masked() -> None:
    text = (
        "user ann@example.org password=hunter2 Bearer abcdef123456 ts_production_server_abc_def at 4111 1111 1111 1111"
    )
    shown = mask(text)
    for secret in ("ann@", "hunter2", "abcdef123456", "abc_def", "4111"):
        assert secret not in shown


def test_samples_are_capped_by_user_and_emptied_with_them(runtime: Runtime, post: Post, traces: Traces) -> None:
    for _ in range(4):
        span = {"http.response.status_code": 503, "trackside.user": "ann"}
        post(traces(*[span | {"_micros": 1 + place} for place in range(3)], x=str(_)), path="/v1/traces")
        fold.run(runtime, 1)
    assert counted(runtime, "select count(*)::int from usage_sample") == seen.PER_USER
    assert counted(runtime, "select calls::int from usage_error") == 12
    with runtime.database.session() as session:
        erase(session, by_external_id(session, USER, "ann"), SYSTEM, now=runtime.clock.now())
    jobs.forget(runtime)
    assert counted(runtime, "select count(*)::int from usage_sample") == 0


def test_sources_tell_who_sends_and_how_far_its_clock_is(
    runtime: Runtime, post: Post, traces: Traces, now_ns: int
) -> None:
    resource = {
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": "1.45.1",
        "service.instance.id": "one",
    }
    post(traces({"_end": now_ns + 5 * NANO, "trackside.user": "ann"}, {}, **resource), path="/v1/traces")
    assert counted(runtime, "select signal, sdk, language, version, points, without_user from usage_source") == [
        ("traces", "opentelemetry", "python", "1.45.1", 2, 1)
    ]
    skew = counted(runtime, "select skew_ms from usage_instance")
    assert 4000 <= skew <= 5000
