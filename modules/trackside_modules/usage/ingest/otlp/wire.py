"""Read protobuf by its lengths: the outer messages of an OTLP request one after another, never all at once.

Parsed at once, two bytes can become two hundred: an empty message is cheap to send and dear to hold. So only the
outer levels are walked here, and protobuf's own parser sees one data point, span or log record at a time. Several
requests one after another read as one, as protobuf has it (a spool file sent as it is).
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from trackside_modules.usage.ingest.otlp.points import Attributes, Source, Value, too_many

MOST_MESSAGES = 1_000_000
"""Resources, scopes, metrics, points, spans and records of any kind in a request."""
LARGEST = 256 * 1024
"""Bytes of one data point, span, resource or scope."""
MALFORMED = "the body is not an OTLP export request in protobuf"
M = TypeVar("M", bound=Message)
_VARINT, _FIXED64, _TEXT, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 8


class Left:
    """How many messages may still come."""

    def __init__(self) -> None:
        self._count = MOST_MESSAGES

    def messages(self, data: memoryview, number: int) -> Iterator[memoryview]:
        """Yield the messages in field `number`."""
        for found, value in fields(data):
            if found == number and isinstance(value, memoryview):
                self._count -= 1
                if self._count < 0:
                    raise too_many(MOST_MESSAGES)
                yield value


def leaves(body: bytes, left: Left) -> Iterator[tuple[Source, memoryview]]:
    """Yield what the scopes of a request hold (metrics, spans or log records), each with its source."""
    for resource in left.messages(memoryview(body), 1):
        about = attributes(parsed(Resource, joined(resource, 1)).attributes)
        for scope in left.messages(resource, 2):
            named = parsed(InstrumentationScope, joined(scope, 1))
            source = Source(about, named.name, named.version)
            for leaf in left.messages(scope, 2):
                yield source, leaf


def fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield number and value of each field that is a number or holds bytes; raise ValueError for nonsense."""
    place, end = 0, len(data)
    while place < end:
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == _TEXT:
            size, place = _varint(data, place)
            yield tag >> 3, data[place : place + size]
            place += size
        elif kind == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
        elif kind in {_FIXED64, _FIXED32}:
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(MALFORMED)
        if place > end or tag < 8:
            raise ValueError(MALFORMED)


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError(MALFORMED)


def joined(data: memoryview, number: int) -> bytes:
    """Return the message in field `number`; several are one, as protobuf has it."""
    return b"".join(value for found, value in fields(data) if found == number and isinstance(value, memoryview))


def parsed(kind: type[M], data: bytes | memoryview) -> M:
    """Return a message; raise ValueError where it is none, or a large one."""
    if len(data) > LARGEST:
        raise ValueError(f"a data point or resource is larger than {LARGEST >> 10} KiB")
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise ValueError(MALFORMED) from error


def attributes(pairs: Iterable[KeyValue]) -> Attributes:
    """Return the attributes whose value is a scalar; the first of two with one key wins."""
    found: Attributes = {}
    for pair in pairs:
        value = pair.value
        match value.WhichOneof("value"):
            case "string_value":
                found.setdefault(pair.key, value.string_value)
            case "int_value":
                found.setdefault(pair.key, value.int_value)
            case "bool_value":
                found.setdefault(pair.key, value.bool_value)
            case "double_value":
                found.setdefault(pair.key, value.double_value)
            case _:
                pass
    return found


def value_of(value: AnyValue, depth: int = 0) -> Value:
    """Return a value of any kind, lists and maps included; what is nested too deeply is None."""
    kind = value.WhichOneof("value")
    if kind == "kvlist_value" and depth < _DEEPEST:
        return {pair.key: value_of(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "array_value" and depth < _DEEPEST:
        return [value_of(each, depth + 1) for each in value.array_value.values]
    if kind in {"string_value", "int_value", "bool_value", "double_value"}:
        found: Value = getattr(value, kind)
        return found
    return None
