"""Read a metrics request in protobuf, point by point."""

from collections.abc import Iterator

from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from trackside_modules.usage.ingest.otlp.points import Metric, Point, Source
from trackside_modules.usage.ingest.otlp.wire import Left, attributes, fields, leaves, parsed

_DATA = {5: "gauge", 7: "sum", 9: "histogram", 10: "exponential_histogram", 11: "summary"}


def read(body: bytes) -> Iterator[Metric]:
    """Yield the metrics of a request; raise ValueError when the bytes are not one, TooLarge when it says too much."""
    left = Left()
    for source, metric in leaves(body, left):
        yield _metric(source, metric, left)


def _metric(source: Source, metric: memoryview, left: Left) -> Metric:
    words, kind = {1: "", 3: ""}, ""
    data: list[memoryview] = []
    for number, value in fields(metric):
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
    points = (point for part in data for number, point in fields(part) if number == 1 and not isinstance(point, int))
    read_one = _explicit if kind == "histogram" else _exponential
    return Metric(source, words[1], words[3], _temporality(data), True, size, map(read_one, points))


def _temporality(data: list[memoryview]) -> int:
    found = 0
    for part in data:
        for number, value in fields(part):
            if number == 2 and isinstance(value, int):
                found = value
    return found


def _explicit(data: memoryview) -> Point:
    point = parsed(pb.HistogramDataPoint, data)
    return Point(
        attributes(point.attributes),
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
    point = parsed(pb.ExponentialHistogramDataPoint, data)
    return Point(
        attributes(point.attributes),
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
        zero_to=point.zero_threshold,
    )
