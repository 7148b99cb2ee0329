"""Read a metrics request in protobuf, point by point; several messages one after another read as one.

Parsed at once, two bytes can become two hundred: an empty message is cheap to send and dear to hold. So only the
outer levels are walked here, by their lengths, and protobuf's own parser sees one data point at a time.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from trackside_modules.usage.otlp.points import Attributes, Metric, Point, Source, too_many

MOST_MESSAGES = 1_000_000
"""Resources, scopes, metrics and points of any kind in a request."""
LARGEST = 256 * 1024
"""Bytes of one data point, resource or scope."""
M = TypeVar("M", bound=Message)
_DATA = {5: "gauge", 7: "sum", 9: "histogram", 10: "exponential_histogram", 11: "summary"}
_MALFORMED = "the body is not an ExportMetricsServiceRequest in protobuf"
_VARINT, _FIXED64, _TEXT, _FIXED32 = 0, 1, 2, 5


def read(body: bytes) -> Iterator[Metric]:
    """Yield the metrics of a request; raise ValueError when the bytes are not one, TooLarge when it says too much."""
    left = _Left()
    for resource in left.messages(memoryview(body), 1):
        about = _attributes(_parsed(Resource, _joined(resource, 1)).attributes)
        for scope in left.messages(resource, 2):
            named = _parsed(InstrumentationScope, _joined(scope, 1))
            source = Source(about, named.name, named.version)
            for metric in left.messages(scope, 2):
                yield _metric(source, metric, left)


class _Left:
    """How many messages may still come."""

    def __init__(self) -> None:
        self._count = MOST_MESSAGES

    def messages(self, data: memoryview, number: int) -> Iterator[memoryview]:
        """Yield the messages in field `number`."""
        for found, value in _fields(data):
            if found == number and isinstance(value, memoryview):
                self._count -= 1
                if self._count < 0:
                    raise too_many(MOST_MESSAGES)
                yield value


def _metric(source: Source, metric: memoryview, left: _Left) -> Metric:
    words, kind = {1: "", 3: ""}, ""
    data: list[memoryview] = []
    for number, value in _fields(metric):
        if not isinstance(value, memoryview):
            continue
        if number in words:
            words[number] = str(value, "utf-8")
        elif number in _DATA:
            data = [*data, value] if kind == _DATA[number] else [value]
            kind = _DATA[number]
    size = sum(1 for part in data for _ in left.messages(part, 1))
    if kind not in {"histogram", "exponential_histogram"}:
        return Metric(source, words[1], words[3], 0, False, size, ())
    points = (point for part in data for number, point in _fields(part) if number == 1 and not isinstance(point, int))
    read_one = _explicit if kind == "histogram" else _exponential
    return Metric(source, words[1], words[3], _temporality(data), True, size, map(read_one, points))


def _temporality(data: list[memoryview]) -> int:
    found = 0
    for part in data:
        for number, value in _fields(part):
            if number == 2 and isinstance(value, int):
                found = value
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
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
            raise ValueError(_MALFORMED)
        if place > end or tag < 8:
            raise ValueError(_MALFORMED)


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError(_MALFORMED)


def _joined(data: memoryview, number: int) -> bytes:
    """Return the message in field `number`; several are one, as protobuf has it."""
    return b"".join(value for found, value in _fields(data) if found == number and isinstance(value, memoryview))


def _parsed(kind: type[M], data: bytes | memoryview) -> M:
    if len(data) > LARGEST:
        raise ValueError(f"a data point or resource is larger than {LARGEST >> 10} KiB")
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise ValueError(_MALFORMED) from error


def _explicit(data: memoryview) -> Point:
    point = _parsed(pb.HistogramDataPoint, data)
    return Point(
        _attributes(point.attributes),
        point.start_time_unix_nano,
        point.time_unix_nano,
        point.flags,
        point.count,
        point.sum if point.HasField("sum") else None,
        point.min if point.HasField("min") else None,
        point.max if point.HasField("max") else None,
        list(point.bucket_counts),
        bounds=list(point.explicit_bounds),
    )


def _exponential(data: memoryview) -> Point:
    point = _parsed(pb.ExponentialHistogramDataPoint, data)
    return Point(
        _attributes(point.attributes),
        point.start_time_unix_nano,
        point.time_unix_nano,
        point.flags,
        point.count,
        point.sum if point.HasField("sum") else None,
        point.min if point.HasField("min") else None,
        point.max if point.HasField("max") else None,
        list(point.positive.bucket_counts),
        scale=point.scale,
        offset=point.positive.offset,
        zero=point.zero_count,
        negative=sum(point.negative.bucket_counts),
    )


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
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
