"""Answers in the words of OTLP: an export response, or a `google.rpc.Status`, in the type the request came in."""

from dataclasses import dataclass
from typing import Any

import msgspec
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

PROTOBUF, JSON = "application/x-protobuf", "application/json"

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14}
"""The gRPC code that says the same as an HTTP status."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an accepted batch was taken: how many points, spans or records were refused, and why, or a warning alone."""

    rejected: int = 0
    message: str = ""


def media_type(content_type: str) -> str | None:
    """Return which of the two types a Content-Type header names, or None."""
    found = content_type.partition(";")[0].strip().lower()
    return found if found in (PROTOBUF, JSON) else None


_REJECTED = {
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
    "traces": (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
}


def accepted(verdict: Verdict, media: str, signal: str = "metrics") -> bytes:
    """Return the body of a 200: empty when everything was taken and nothing is to be said."""
    kind, field, name = _REJECTED[signal]
    silent = not verdict.rejected and not verdict.message
    if media == JSON:
        partial = {name: str(verdict.rejected), "errorMessage": verdict.message}
        return msgspec.json.encode({} if silent else {"partialSuccess": partial})
    answer: Any = kind()
    if not silent:
        setattr(answer.partial_success, field, verdict.rejected)
        answer.partial_success.error_message = verdict.message
    body: bytes = answer.SerializeToString()
    return body


def status(http: int, message: str, media: str) -> bytes:
    """Return the body of a failure."""
    code = _CODES.get(http, 2)
    if media == JSON:
        return msgspec.json.encode({"code": code, "message": message})
    body: bytes = Status(code=code, message=message).SerializeToString()
    return body
