"""Read requests of spans and of log records in OTLP's JSON, where ids are hex, unlike in protobuf's own JSON."""

import re
from collections.abc import Iterator

import msgspec

from trackside_modules.usage.ingest.otlp.json_values import (
    AnyValue,
    Json,
    Pair,
    Resource,
    Scope,
    Whole,
    attributes,
    decoded,
    described,
    sourced,
    value_of,
    whole,
)
from trackside_modules.usage.ingest.otlp.points import SERVER, Log, Source, Span

_HAS_REMOTE, _IS_REMOTE = 0x100, 0x200
_HEX = re.compile(r"[0-9a-fA-F]{32}")


class _Event(Json):
    name: str | None = None
    attributes: list[Pair] | None = None


class _Status(Json):
    code: Whole = 0
    message: str | None = None


class _Span(Json):
    trace_id: str | None = None
    parent_span_id: str | None = None
    flags: Whole = 0
    kind: Whole = 0
    start_time_unix_nano: Whole = 0
    end_time_unix_nano: Whole = 0
    attributes: list[Pair] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _ScopeSpans(Json):
    scope: Scope | None = None
    spans: list[_Span] | None = None


class _ResourceSpans(Json):
    resource: Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(Json):
    resource_spans: list[_ResourceSpans] | None = None


class _Record(Json):
    time_unix_nano: Whole = 0
    observed_time_unix_nano: Whole = 0
    event_name: str | None = None
    trace_id: str | None = None
    body: AnyValue | None = None
    attributes: list[Pair] | None = None


class _ScopeLogs(Json):
    scope: Scope | None = None
    log_records: list[_Record] | None = None


class _ResourceLogs(Json):
    resource: Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(Json):
    resource_logs: list[_ResourceLogs] | None = None


_TRACES, _LOGS = msgspec.json.Decoder(_Traces), msgspec.json.Decoder(_Logs)


def spans(body: bytes) -> Iterator[Span | None]:
    """Yield the servers' spans of a request; raise ValueError when the text is none, TooLarge when it says too much."""
    for resource in decoded(_TRACES, body).resource_spans or ():
        about = described(resource.resource)
        for scope in resource.scope_spans or ():
            source = sourced(about, scope.scope)
            for span in scope.spans or ():
                if span.kind == "SPAN_KIND_SERVER" or (not isinstance(span.kind, str) and span.kind == SERVER):
                    yield _span(source, span)


def _span(source: Source, span: _Span) -> Span:
    status = span.status or _Status()
    exception = next((each for each in span.events or () if each.name == "exception"), None)
    local = whole(span.flags) & (_HAS_REMOTE | _IS_REMOTE) == _HAS_REMOTE
    return Span(
        source,
        attributes(span.attributes),
        whole(span.start_time_unix_nano),
        whole(span.end_time_unix_nano),
        _id(span.trace_id),
        bool(span.parent_span_id) and local,
        status.code in {2, "2", "STATUS_CODE_ERROR"},
        status.message or "",
        None if exception is None else attributes(exception.attributes),
    )


def logs(body: bytes) -> Iterator[Log | None]:
    """Yield the log records of a request; raises as `spans` does."""
    for resource in decoded(_LOGS, body).resource_logs or ():
        about = described(resource.resource)
        for scope in resource.scope_logs or ():
            source = sourced(about, scope.scope)
            for record in scope.log_records or ():
                yield Log(
                    source,
                    record.event_name or "",
                    whole(record.time_unix_nano) or whole(record.observed_time_unix_nano),
                    attributes(record.attributes),
                    value_of(record.body),
                    _id(record.trace_id),
                )


def _id(text: str | None) -> str:
    """Return a trace id, nothing where it is none."""
    return text.lower() if text and _HEX.fullmatch(text) else ""
