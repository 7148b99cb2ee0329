"""Read a metrics request in OTLP's JSON: typed, unknown fields ignored, 64-bit numbers as text or numbers.

Trace and span ids (hex here, unlike in protobuf's own JSON) occur in a metrics request only in exemplars, which nothing
here reads, so they are never decoded.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from trackside_modules.usage.otlp.points import CUMULATIVE, DELTA, Attributes, Metric, Point, Source, too_many

_TEMPORALITIES = {"AGGREGATION_TEMPORALITY_DELTA": DELTA, "AGGREGATION_TEMPORALITY_CUMULATIVE": CUMULATIVE}

Whole = int | float | str | None
Real = float | str | None


class _Json(msgspec.Struct, rename="camel", gc=False):
    pass


class _Value(_Json):
    string_value: str | None = None
    int_value: Whole = None
    bool_value: bool | None = None
    double_value: Real = None


class _Pair(_Json):
    key: str = ""
    value: _Value | None = None


class _Buckets(_Json):
    offset: Whole = 0
    bucket_counts: list[Whole] | None = None


class _Explicit(_Json):
    attributes: list[_Pair] | None = None
    start_time_unix_nano: Whole = 0
    time_unix_nano: Whole = 0
    count: Whole = 0
    sum: Real = None
    min: Real = None
    max: Real = None
    flags: Whole = 0
    bucket_counts: list[Whole] | None = None
    explicit_bounds: list[Real] | None = None


class _Exponential(_Json):
    attributes: list[_Pair] | None = None
    start_time_unix_nano: Whole = 0
    time_unix_nano: Whole = 0
    count: Whole = 0
    sum: Real = None
    min: Real = None
    max: Real = None
    flags: Whole = 0
    scale: Whole = 0
    zero_count: Whole = 0
    positive: _Buckets | None = None
    negative: _Buckets | None = None


class _Histogram(_Json):
    data_points: list[_Explicit] | None = None
    aggregation_temporality: Whole = 0


class _ExponentialHistogram(_Json):
    data_points: list[_Exponential] | None = None
    aggregation_temporality: Whole = 0


class _Other(_Json):
    data_points: list[msgspec.Raw] | None = None


class _Metric(_Json):
    name: str | None = None
    unit: str | None = None
    histogram: _Histogram | None = None
    exponential_histogram: _ExponentialHistogram | None = None
    gauge: _Other | None = None
    sum: _Other | None = None
    summary: _Other | None = None


class _Scope(_Json):
    name: str | None = None
    version: str | None = None


class _ScopeMetrics(_Json):
    scope: _Scope | None = None
    metrics: list[_Metric] | None = None


class _Resource(_Json):
    attributes: list[_Pair] | None = None


class _ResourceMetrics(_Json):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _Request(_Json):
    resource_metrics: list[_ResourceMetrics] | None = None


_DECODER = msgspec.json.Decoder(_Request)
MOST_OBJECTS, MOST_VALUES = 2_000_000, 8_000_000
"""Objects and values in a request: a `{}` of two bytes becomes a hundred, so bytes alone bound no memory."""


def read(body: bytes) -> Iterator[Metric]:
    """Yield the metrics of a request; raise ValueError when the text is not one, TooLarge when it says too much."""
    if body.count(b"{") > MOST_OBJECTS or body.count(b",") > MOST_VALUES:
        raise too_many(MOST_OBJECTS)
    try:
        request = _DECODER.decode(body)
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("the body is not UTF-8") from error
    except msgspec.MsgspecError as error:
        raise ValueError(f"the body is not an ExportMetricsServiceRequest in JSON: {error}") from error
    for resource in request.resource_metrics or ():
        about = _attributes(resource.resource.attributes if resource.resource else None)
        for scope in resource.scope_metrics or ():
            named = scope.scope or _Scope()
            source = Source(about, named.name or "", named.version or "")
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
    return _TEMPORALITIES.get(value) or _whole(value) if isinstance(value, str) else _whole(value)


def _explicit(point: _Explicit) -> Point:
    return Point(
        **_common(point),
        counts=[_whole(count) for count in point.bucket_counts or ()],
        bounds=[_real(bound) or 0.0 for bound in point.explicit_bounds or ()],
    )


def _exponential(point: _Exponential) -> Point:
    positive, negative = point.positive or _Buckets(), point.negative or _Buckets()
    return Point(
        **_common(point),
        counts=[_whole(count) for count in positive.bucket_counts or ()],
        scale=_whole(point.scale),
        offset=_whole(positive.offset),
        zero=_whole(point.zero_count),
        negative=sum(_whole(count) for count in negative.bucket_counts or ()),
    )


def _common(point: _Explicit | _Exponential) -> dict[str, Any]:
    return {
        "attributes": _attributes(point.attributes),
        "start": _whole(point.start_time_unix_nano),
        "time": _whole(point.time_unix_nano),
        "flags": _whole(point.flags),
        "count": _whole(point.count),
        "total": _real(point.sum),
        "low": _real(point.min),
        "high": _real(point.max),
    }


def _whole(value: Whole) -> int:
    """Return a whole number that JSON may hold as text, number or null; raise ValueError for anything else."""
    if value is None:
        return 0
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        raise ValueError(f"{value!r} is not a whole number")
    if isinstance(value, str) and not value.lstrip("-").isdecimal():
        raise ValueError("a number given as text is not a whole number")
    if isinstance(value, str) and len(value) > 20:
        raise ValueError("a number has more than 64 bits")
    number = int(value)
    if not -(2**63) <= number < 2**64:
        raise ValueError("a number has more than 64 bits")
    return number


def _real(value: Real) -> float | None:
    """Return a number that JSON may hold as text ("NaN", "Infinity"); raise ValueError for other text."""
    return None if value is None else float(value[:40] if isinstance(value, str) else value)


def _attributes(pairs: Iterable[_Pair] | None) -> Attributes:
    """Return the attributes whose value is a scalar; the first of two with one key wins."""
    found: Attributes = {}
    for pair in pairs or ():
        value = pair.value
        if value is None:
            continue
        for scalar in (value.string_value, value.bool_value, value.double_value):
            if scalar is not None:
                found.setdefault(pair.key, scalar)
        if value.int_value is not None:
            found.setdefault(pair.key, _whole(value.int_value))
    return found
