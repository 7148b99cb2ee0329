"""Read a metrics request in protobuf; several messages one after another read as one."""

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from trackside_modules.usage.otlp.points import Attributes, Metric, Point, Source

_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def read(body: bytes) -> Iterator[Metric]:
    """Yield the metrics of a request; raise ValueError when the bytes are not one."""
    request = ExportMetricsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise ValueError("the body is not an ExportMetricsServiceRequest in protobuf") from error
    for resource in request.resource_metrics:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_metrics:
            source = Source(about, scope.scope.name, scope.scope.version)
            for metric in scope.metrics:
                yield _metric(source, metric)


def _metric(source: Source, metric: pb.Metric) -> Metric:
    kind = metric.WhichOneof("data")
    if kind == "histogram":
        explicit = metric.histogram
        points: Iterable[Point] = map(_explicit, explicit.data_points)
        return Metric(
            source,
            metric.name,
            metric.unit,
            explicit.aggregation_temporality,
            True,
            len(explicit.data_points),
            points,
        )
    if kind == "exponential_histogram":
        exponential = metric.exponential_histogram
        points = map(_exponential, exponential.data_points)
        return Metric(
            source,
            metric.name,
            metric.unit,
            exponential.aggregation_temporality,
            True,
            len(exponential.data_points),
            points,
        )
    size = len(getattr(metric, kind).data_points) if kind in _KINDS else 0
    return Metric(source, metric.name, metric.unit, 0, False, size, ())


def _explicit(point: pb.HistogramDataPoint) -> Point:
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


def _exponential(point: pb.ExponentialHistogramDataPoint) -> Point:
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
