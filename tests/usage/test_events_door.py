"""`POST /v1/events`: what is taken, what is refused, what a repeat is answered, and that all of it is counted once."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest.events import door, form

Post = Callable[..., tuple[int, Any]]


def scalar(runtime: Runtime, query: str) -> Any:
    with runtime.database.session() as session:
        return session.scalar(text(query))


def counted(runtime: Runtime) -> int:
    fold.run(runtime, 1)
    return int(scalar(runtime, "select coalesce(sum(calls), 0) from usage_minute"))


def test_events_are_counted_by_endpoint_user_and_status(runtime: Runtime, send_events: Post, event: Any) -> None:
    sent = [event(user="ann", account="acme"), event(user="ann", status=500), event(service="shop", method="post")]
    assert send_events({"events": sent}) == (202, {"accepted": 3, "duplicate": False, "rejected": []})
    assert counted(runtime) == 3
    with runtime.database.session() as session:
        rows = session.execute(
            text(
                "select e.service, e.method, e.route, coalesce(u.external_id, ''), m.status, m.micros, m.longest"
                " from usage_minute m join usage_endpoint e on e.id = m.endpoint_id"
                " left join customer_user u on u.id = m.user_id"
            )
        ).all()
    assert set(rows) == {
        ("unknown_service", "GET", "/orders/{id}", "ann", 200, 12500, 12500),
        ("unknown_service", "GET", "/orders/{id}", "ann", 500, 12500, 12500),
        ("shop", "POST", "/orders/{id}", "", 200, 12500, 12500),
    }


def test_lines_are_taken_as_well_and_gzip(runtime: Runtime, send_events: Post, event: Any) -> None:
    lines = b"\n".join(json.dumps(event(user=user)).encode() for user in ("ann", "bob", 7))
    assert send_events(lines, "application/x-ndjson")[1]["accepted"] == 3
    assert send_events(lines + b"\n\n", "application/x-ndjson; charset=utf-8")[1]["accepted"] == 3
    packed = gzip.compress(lines + b"\r\n" + lines)
    assert send_events(packed, "application/jsonl", HTTP_CONTENT_ENCODING="gzip")[1]["accepted"] == 6
    assert counted(runtime) == 12


def test_a_time_is_rfc_3339_or_milliseconds(runtime: Runtime, send_events: Post, event: Any) -> None:
    moment = runtime.clock.now() - timedelta(hours=2)
    told = [int(moment.timestamp() * 1000), moment.isoformat(), moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    assert send_events({"events": [event(ts=ts) for ts in told]})[1]["accepted"] == 3
    assert counted(runtime) == 3
    assert scalar(runtime, "select count(distinct minute) from usage_minute") == 1
    assert scalar(runtime, "select min(minute) from usage_minute") == moment.replace(second=0, microsecond=0)


def test_a_path_is_counted_under_its_template(runtime: Runtime, send_events: Post, event: Any) -> None:
    sent = [event(route=f"/users/{number}?token=secret{number}") for number in range(50)] + [event(route="")]
    assert send_events({"events": sent})[1]["accepted"] == 51
    assert counted(runtime) == 51
    with runtime.database.session() as session:
        assert set(session.scalars(text("select route from usage_endpoint"))) == {"/users/{id}", "(unmatched)"}
        bodies = session.scalars(text("select encode(body, 'escape') from usage_inbox")).all()
    assert not any("secret" in body for body in bodies)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"color": "red"}, "unknown field color"),
    ({"duration_ms": ...}, "missing required field duration_ms"),
    ({"ts": 2**70}, "ts: more than 24 hours ahead"),
    ({"ts": -1}, "ts: more than 400 days ago"),
    ({"ts": 1_790_000_000}, "are these seconds?"),
    ({"ts": 1.5}, "ts: expected"),
    ({"ts": True}, "ts: expected"),
    ({"ts": "0001-01-01T00:00:00Z"}, "ts: more than 400 days ago"),
    ({"ts": "9999-12-31T23:59:59Z"}, "ts: more than 24 hours ahead"),
    ({"ts": "99999-01-01T00:00:00Z"}, "ts: invalid RFC3339"),
    ({"ts": "2026-01-01T00:00:00"}, "with a timezone"),
    ({"ts": "yesterday"}, "ts: invalid RFC3339"),
    ({"status": 42}, "status: 42 is no HTTP status"),
    ({"status": 600}, "status: expected int <= 599"),
    ({"status": "200"}, "status: expected int, got str"),
    ({"status": 2**70}, "status: "),
    ({"duration_ms": -0.001}, "duration_ms: expected float >= 0"),
    ({"duration_ms": 8 * 24 * 3600 * 1000}, "duration_ms: expected float <="),
    ({"duration_ms": 2**70}, "duration_ms: expected float <="),
    ({"duration_ms": None}, "duration_ms: expected float, got null"),
    ({"method": 7}, "method: expected str, got int"),
    ({"route": "/a\x00b"}, "route: it holds characters that cannot be seen"),
    ({"route": "/a\u202eb"}, "route: it holds characters that cannot be seen"),
    ({"route": "/x" * 3000}, "route: expected str of length <="),
    ({"user": "ann\u202e"}, "user: it holds control or text-direction characters"),
    ({"user": "ann\x00"}, "user: it holds control"),
    ({"user": "x" * 201}, "user: it is longer than 200 characters"),
    ({"user": 2**70}, "user: "),
    ({"user": {"id": 1}}, "user: expected"),
    ({"account": "a\nb"}, "account: it holds control"),
    ({"service": "s\u2066"}, "service: "),
    ({"service": "s" * 121}, "service: longer than 120 characters"),
    ({"request_bytes": -1}, "request_bytes: expected int >= 0"),
    ({"response_bytes": 2**70}, "response_bytes: "),
]


def test_a_bad_event_is_refused_by_itself_and_says_why(runtime: Runtime, send_events: Post, event: Any) -> None:
    for number, (wrong, why) in enumerate(BAD):
        sent = [event(), event(**wrong), event(user=f"ann-{number}")]
        status, said = send_events({"events": sent})
        assert (status, said["accepted"], [each["index"] for each in said["rejected"]]) == (202, 2, [1]), wrong
        assert why in said["rejected"][0]["error"]
        lines = b"\n".join(json.dumps(each).encode() for each in sent)
        assert send_events(lines, "application/x-ndjson") == (202, said)
    assert counted(runtime) == 4 * len(BAD)


def test_refused_events_leave_no_endpoint_and_a_warning(runtime: Runtime, send_events: Post, event: Any) -> None:
    assert send_events({"events": [event(route="/gone", status=7)]})[1]["accepted"] == 0
    assert counted(runtime) == 0
    assert scalar(runtime, "select count(*) from usage_endpoint") == 0
    assert send_events({"events": [event(**{"ann@example.com": 1})]})[1]["accepted"] == 0
    assert counted(runtime) == 0
    with runtime.database.session() as session:
        told = session.scalars(text("select about from usage_warning where kind = 'refused' order by 1")).all()
    assert told == ["object contains unknown field", "status: 7 is no HTTP status; send 0 where there was no answer"]


UNREADABLE = [
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b'{"events": [}', 400),
    (b'{"events": []} {}', 400),
    (b'{"events": [{"ts": NaN}]}', 400),
    (b'{"events": [{"user": "\\ud800"}]}', 400),
    (b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    (b'{"events": [' + b'{"a":' * 100_000, 400),
    (b'{"events": [], "events": []}', 400),
    (b"[]", 422),
    (b"null", 422),
    (b"{}", 422),
    (b'{"events": {}}', 422),
    (b'{"events": [], "mode": "x"}', 422),
    (b'{"events": [], "batch_id": 7}', 422),
    (b'{"events": [], "batch_id": "a\\u0000b"}', 422),
    (b'{"events": [], "batch_id": "' + b"x" * 201 + b'"}', 422),
]


def test_a_body_that_cannot_be_read_is_refused_as_a_whole(send_events: Post) -> None:
    for body, status in UNREADABLE:
        answered, said = send_events(body)
        assert (answered, said["status"]) == (status, status), body[:80]
        assert said["detail"]


def test_lines_that_cannot_be_read_are_refused_one_by_one(send_events: Post, event: Any) -> None:
    good = json.dumps(event()).encode()
    bad = [b"{", b"\xff", b"NaN", b"[" * 100_000, b'{"user": "\\ud800"}', b"[]", b"{} {}", b'{"a": 1e400}']
    status, said = send_events(b"\n".join([good, *bad, good]), "application/x-ndjson")
    assert (status, said["accepted"]) == (202, 2)
    assert [each["index"] for each in said["rejected"]] == list(range(1, len(bad) + 1))


def test_a_key_given_twice_is_refused(send_events: Post, event: Any) -> None:
    good = json.dumps(event(error='it said {"a": 1, "a": 2}'))
    twice = good[:-1] + ', "status": 500}'
    spaced = '{"ts" : 1, "ts" : 2}'
    status, said = send_events(f'{{"events": [{good}, {twice}, {good}]}}'.encode())
    assert (status, said["accepted"], said["rejected"]) == (202, 2, [{"index": 1, "error": "a key is given twice"}])
    status, said = send_events(f"{good}\n{twice}\n{spaced}\n".encode(), "application/x-ndjson")
    assert (status, said["accepted"], len(said["rejected"])) == (202, 1, 2)


def test_spaces_before_a_colon_are_no_fault(send_events: Post, event: Any) -> None:
    said = send_events(json.dumps({"events": [event(), event()]}, separators=(",", " : "), indent=1).encode())[1]
    assert (said["accepted"], said["rejected"]) == (2, [])


def test_types_and_encodings_that_are_not_taken_say_what_is(send_events: Post, event: Any) -> None:
    status, said = send_events({"events": [event()]}, "application/x-www-form-urlencoded")
    assert status == 415
    assert "application/json" in said["detail"]
    assert send_events({"events": []}, HTTP_CONTENT_ENCODING="br")[0] == 415


def test_lines_in_chunks_need_gzip_since_half_of_them_look_whole(send_events: Post, event: Any) -> None:
    line = json.dumps(event()).encode() + b"\n"
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert send_events(line, "application/x-ndjson", **chunked)[0] == 411
    packed = gzip.compress(line)
    assert send_events(packed, "application/x-ndjson", HTTP_CONTENT_ENCODING="gzip", **chunked)[0] == 202
    assert send_events(packed[:-9], "application/x-ndjson", HTTP_CONTENT_ENCODING="gzip", **chunked)[0] == 400
    assert send_events(line[:-20], "application/x-ndjson", CONTENT_LENGTH=str(len(line)))[0] == 400
    assert send_events(json.dumps({"events": [event()]}).encode(), **chunked)[0] == 202


def test_too_much_is_refused_before_it_costs_much(
    send_events: Post, event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send_events(b" " * (door.LIMIT + 1))[0] == 413
    assert send_events(gzip.compress(b" " * (door.LIMIT + 1)), HTTP_CONTENT_ENCODING="gzip")[0] == 413
    assert send_events(b'{"events": [' + b"1," * 5_000_000 + b"1]}")[0] == 413
    assert send_events(b"\n" * 5_000_000, "application/x-ndjson")[0] == 413
    monkeypatch.setattr(form, "MOST_EVENTS", 3)
    assert send_events({"events": [event()] * 3})[0] == 202
    status, said = send_events({"events": [event()] * 4})
    assert status == 413
    assert "several requests" in said["detail"]


def test_a_clock_ahead_counts_now_and_is_told(runtime: Runtime, send_events: Post, event: Any) -> None:
    now = runtime.clock.now()
    later = [int((now + timedelta(minutes=minutes)).timestamp() * 1000) for minutes in (0, 30, 60 * 23)]
    assert send_events({"events": [event(ts=ts, service="shop") for ts in later]})[1]["accepted"] == 3
    assert counted(runtime) == 3
    assert scalar(runtime, "select max(minute) from usage_minute") == now.replace(second=0, microsecond=0)
    assert scalar(runtime, "select points from usage_warning where kind = 'clock-ahead' and about = 'shop'") == 2


def test_late_events_count_where_they_belong(runtime: Runtime, send_events: Post, event: Any) -> None:
    now = runtime.clock.now()
    for late in (timedelta(hours=1), timedelta(hours=25), timedelta(days=40)):
        assert send_events({"events": [event(ts=(now - late).isoformat())]})[1]["accepted"] == 1
    assert counted(runtime) == 3


def test_nobody_is_counted_as_nobody_and_an_account_alone_as_itself(
    runtime: Runtime, send_events: Post, event: Any
) -> None:
    sent = [event(user=None), event(user=""), event(), event(account="acme"), event(user=42, account=7)]
    assert send_events({"events": sent})[1]["accepted"] == 5
    assert counted(runtime) == 5
    assert scalar(runtime, "select sum(calls) from usage_minute where user_id = 0") == 3
    with runtime.database.session() as session:
        assert set(session.scalars(text("select external_id from customer_user"))) == {
            "",
            "acme",
            "42",
        }  # the first is nobody


def test_what_failed_is_kept_as_a_sample_and_a_failure_masked(runtime: Runtime, send_events: Post, event: Any) -> None:
    sent = [
        event(status=500, user="ann", error="ValueError: no order of ann@example.com\n  at line 7"),
        event(status=500, error="the disk is full"),
        event(duration_ms=2500),
        event(status=404, route=""),
        event(),
    ]
    send_events({"events": sent})
    body = scalar(runtime, "select body from usage_inbox")
    batch = fold.unpack(bytes(body))
    assert [(it.error, it.message) for it in batch.failures] == [
        ("ValueError", "no order of <email>"),
        ("error", "the disk is full"),
    ]
    assert len(batch.samples) == 4
    (origin,) = batch.origins
    assert (origin.signal, origin.points, origin.without_user, origin.without_route) == ("events", 5, 4, 1)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from(["application/json", "x"]))
def test_no_bytes_are_a_fault_of_ours(send_events: Post, body: bytes, media: str) -> None:
    assert send_events(body, media)[0] < 500
    assert send_events(body, "application/x-ndjson")[0] < 500


def test_the_form_is_what_the_documentation_says() -> None:
    fields = {it.encode_name for it in msgspec.structs.fields(form.Event)}
    assert fields == {
        *("ts", "method", "route", "status", "duration_ms", "user", "account", "service"),
        *("request_bytes", "response_bytes", "error"),
    }
