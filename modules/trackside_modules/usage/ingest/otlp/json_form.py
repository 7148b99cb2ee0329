"""Read a metrics request in OTLP's JSON.

Trace and span ids occur in a metrics request only in exemplars, which nothing here reads, so they are never decoded.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trackside_modules.usage.ingest.otlp.json_values import (
    Json,
    Pair,
    Real,
    Resource,
    Scope,
    Whole,
    attributes,
    decoded,
    described,
    real,
    sourced,
    whole,
)
from trackside_modules.usage.ingest.otlp.points import CUMULATIVE, DELTA, Metric, Point, Source

_TEMPORALITIES = {"AGGREGATION_TEMPORALITY_DELTA": DELTA, "AGGREGATION_TEMPORALITY_CUMULATIVE": CUMULATIVE}


class _Buckets(Json):
    offset: Whole = 0
    bucket_counts: list[Whole] | None = None


class _Point(Json):
    attributes: list[Pair] | None = None
    start_time_unix_nano: Whole = 0
    time_unix_nano: Whole = 0
    count: Whole = 0
    sum: Real = None
    min: Real = None
    max: Real = None
    flags: Whole = 0


class _Explicit(_Point):
    bucket_counts: list[Whole] | None = None
    explicit_bounds: list[Real] | None = None


class _Exponential(_Point):
    scale: Whole = 0
    zero_count: Whole = 0
    zero_threshold: Real = 0.0
    positive: _Buckets | None = None
    negative: _Buckets | None = None


class _Histogram(Json):
    data_points: list[_Explicit] | None = None
    aggregation_temporality: Whole = 0


class _ExponentialHistogram(Json):
    data_points: list[_Exponential] | None = None
    aggregation_temporality: Whole = 0


class _Other(Json):
    data_points: list[msgspec.Raw] | None = None


class _Metric(Json):
    name: str | None = None
    unit: str | None = None
    histogram: _Histogram | None = None
    exponential_histogram: _ExponentialHistogram | None = None
    gauge: _Other | None = None
    sum: _Other | None = None
    summary: _Other | None = None


class _ScopeMetrics(Json):
    scope: Scope | None = None
    metrics: list[_Metric] | None = None


class _ResourceMetrics(Json):
    resource: Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _Request(Json):
    resource_metrics: list[_ResourceMetrics] | None = None


_DECODER = msgspec.json.Decoder(_Request)


def read(body: bytes) -> Iterator[Metric]:
    """Yield the metrics of a request; raise ValueError when the text is not one, TooLarge when it says too much."""
    for resource in decoded(_DECODER, body).resource_metrics or ():
        about = described(resource.resource)
        for scope in resource.scope_metrics or ():
            source = sourced(about, scope.scope)
            for metric in scope.metrics or ():
                yield _metric(source, metric)


def _metric(source: Source, metric: _Metric) -> Metric:
    name, unit = metric.name or "", metric.unit or ""
    if metric.histogram is not None:
        found = metric.histogram.data_points or []
        temporality = _temporality(metric.histogram.aggregation_temporality)
        return Metric(source, name, unit, temporality, True, len(found), map(_explicit, found))
    if metric.exponential_histogram is not None:
        points = metric.exponential_histogram.data_points or []
        temporality = _temporality(metric.exponential_histogram.aggregation_temporality)
        return Metric(source, name, unit, temporality, True, len(points), map(_exponential, points))
    other = metric.gauge or metric.sum or metric.summary or _Other()
    return Metric(source, name, unit, 0, False, len(other.data_points or ()), ())


def _temporality(value: Whole) -> int:
    return _TEMPORALITIES.get(value) or whole(value) if isinstance(value, str) else whole(value)


def _explicit(point: _Explicit) -> Point:
    return Point(
        **_common(point),
        counts=[whole(count) for count in point.bucket_counts or ()],
        bounds=[real(bound) or 0.0 for bound in point.explicit_bounds or ()],
    )


def _exponential(point: _Exponential) -> Point:
    positive, negative = point.positive or _Buckets(), point.negative or _Buckets()
    return Point(
        **_common(point),
        counts=[whole(count) for count in positive.bucket_counts or ()],
        scale=whole(point.scale),
        offset=whole(positive.offset),
        zero=whole(point.zero_count),
        negative=sum(whole(count) for count in negative.bucket_counts or ()),
        zero_to=real(point.zero_threshold) or 0.0,
    )


def _common(point: _Point) -> dict[str, Any]:
    return {
        "attributes": attributes(point.attributes),
        "start": whole(point.start_time_unix_nano),
        "time": whole(point.time_unix_nano),
        "flags": whole(point.flags),
        "count": whole(point.count),
        "total": real(point.sum),
        "low": real(point.min),
        "high": real(point.max),
    }
