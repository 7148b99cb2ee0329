"""Read requests of spans and of log records in protobuf, one after another, leaving out what is of no use here."""

from collections.abc import Iterator

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1 import trace_pb2 as pb

from trackside_modules.usage.ingest.otlp.points import SERVER, Log, Source, Span
from trackside_modules.usage.ingest.otlp.wire import LARGEST, Left, attributes, fields, joined, leaves, parsed, value_of

_HAS_REMOTE, _IS_REMOTE = 0x100, 0x200
_BODY, _EVENT_NAME = 5, 12


def spans(body: bytes) -> Iterator[Span | None]:
    """Yield the servers' spans of a request, and None for each that is too large to be read.

    Raises ValueError when the bytes are not a request, TooLarge when it says too much.
    """
    for source, leaf in leaves(body, Left()):
        if len(leaf) > LARGEST:
            yield None
            continue
        span = parsed(pb.Span, leaf)
        if span.kind == SERVER:
            yield _span(source, span)


def _span(source: Source, span: pb.Span) -> Span:
    exception = next((each for each in span.events if each.name == "exception"), None)
    return Span(
        source,
        attributes(span.attributes),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.trace_id.hex(),
        bool(span.parent_span_id) and span.flags & (_HAS_REMOTE | _IS_REMOTE) == _HAS_REMOTE,
        span.status.code == pb.Status.STATUS_CODE_ERROR,
        span.status.message,
        None if exception is None else attributes(exception.attributes),
    )


def logs(body: bytes) -> Iterator[Log | None]:
    """Yield the log records of a request, and None for each that is too large to be read; raises as `spans` does."""
    for source, leaf in leaves(body, Left()):
        if len(leaf) > LARGEST:
            yield _large(source, leaf)
            continue
        record = parsed(LogRecord, leaf)
        yield Log(
            source,
            record.event_name,
            record.time_unix_nano or record.observed_time_unix_nano,
            attributes(record.attributes),
            value_of(record.body),
            record.trace_id.hex(),
        )


def _large(source: Source, leaf: memoryview) -> Log | None:
    """Return an event whose body is one long text (a service's description of itself), None for other large records."""
    event = str(joined(leaf, _EVENT_NAME), "utf-8", "replace")
    for number, value in fields(leaf):
        if event and number == _BODY and isinstance(value, memoryview):
            return Log(source, event, 0, {}, str(joined(value, 1), "utf-8", "replace"))
    return None
