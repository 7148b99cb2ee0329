"""The client's own requests in OTLP's JSON: exponential histograms for counts, server spans for samples.

Written by hand, since a point is the same few fields each time and the general way costs several times as much.
64-bit times go as text, as OTLP has it; a lone surrogate, which is not UTF-8, becomes a question mark.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping

from trackside_client import VERSION
from trackside_client.usage.counters import SCALE, ZERO, Key, Series, Window
from trackside_client.usage.samples import Sample

METRIC = "http.server.request.duration"
_SCOPE = f'"scope":{{"name":"trackside-client","version":"{VERSION}"}}'
_DELTA, _SERVER, _ERROR = 1, 2, 2


def resource(service: str, version: str, instance: str) -> str:
    """Return the resource in JSON: who reports."""
    words = {
        "service.name": service,
        "service.version": version,
        "service.instance.id": instance,
        "telemetry.sdk.name": "trackside-client",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": VERSION,
        "process.runtime.version": sys.version.split()[0],
    }
    return f'{{"attributes":[{_attributes(words)}]}}'


def metrics(about: str, windows: Iterable[Window], counts: Mapping[str, int]) -> bytes:
    """Return an export request of `windows`.

    Args:
        about: What `resource` returned.
        windows: The requests, each at the end of its window.
        counts: What the server should know of the client itself: attributes of the resource; zeros are left out.

    """
    points = ",".join(
        _point(key, series, window) for window in windows for key, series in window.series.items() if series.buckets
    )
    duration = (
        f'{{"name":"{METRIC}","unit":"s","exponentialHistogram":'
        f'{{"aggregationTemporality":{_DELTA},"dataPoints":[{points}]}}}}'
    )
    if own := _attributes({name: str(count) for name, count in counts.items() if count}):
        about = f"{about.removesuffix(']}')},{own}]}}"
    return _request("resourceMetrics", "scopeMetrics", about, f'"metrics":[{duration}]')


def traces(about: str, samples: Iterable[Sample]) -> bytes:
    """Return an export request of `samples`."""
    return _request("resourceSpans", "scopeSpans", about, f'"spans":[{",".join(map(_span, samples))}]')


def _request(outer: str, inner: str, about: str, content: str) -> bytes:
    return f'{{"{outer}":[{{"resource":{about},"{inner}":[{{{_SCOPE},{content}}}]}}]}}'.encode()


def _point(key: Key, series: Series, window: Window) -> str:
    buckets = series.buckets
    count = sum(buckets.values())
    zero = buckets.pop(ZERO, 0)
    positive = ""
    if buckets:
        low, high = min(buckets), max(buckets)
        counts = ",".join(str(buckets.get(index, 0)) for index in range(low, high + 1))
        positive = f',"positive":{{"offset":{low},"bucketCounts":[{counts}]}}'
    return (
        f'{{"attributes":[{_subject(key)}],"startTimeUnixNano":"{window.start}","timeUnixNano":"{window.end}",'
        f'"count":{count},"sum":{series.total!r},"max":{series.longest!r},'
        f'"scale":{SCALE},"zeroCount":{zero}{positive}}}'
    )


def _subject(key: Key) -> str:
    method, route, status, user, account = key
    parts = [
        f'{{"key":"http.request.method","value":{{"stringValue":"{method}"}}}}',
        f'{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}}',
    ]
    words = {"http.route": route or "", "trackside.user": user, "trackside.account": account}
    if status >= 500:
        words["error.type"] = str(status)
    return ",".join([*parts, _attributes(words)]).rstrip(",")


def _span(sample: Sample) -> str:
    method, route, status, *_ = sample.key
    words = {"url.path": sample.path}
    events = ""
    if sample.error is not None:
        words["error.type"] = sample.error.type
        told = {
            "exception.type": sample.error.type,
            "exception.message": sample.error.message,
            "exception.stacktrace": sample.error.stack,
        }
        events = (
            f',"events":[{{"timeUnixNano":"{sample.ended}","name":"exception","attributes":[{_attributes(told)}]}}]'
        )
    code = f',"status":{{"code":{_ERROR}}}' if status >= 500 else ""
    name = _text(method if route is None else f"{method} {route}")
    return (
        f'{{"traceId":"{sample.trace_id}","spanId":"{os.urandom(8).hex()}","name":{name},'
        f'"kind":{_SERVER},"startTimeUnixNano":"{sample.ended - int(sample.seconds * 1e9)}",'
        f'"endTimeUnixNano":"{sample.ended}","attributes":[{_subject(sample.key)},{_attributes(words)}]{events}{code}}}'
    )


def _attributes(words: Mapping[str, str]) -> str:
    """Return the attributes that are not empty."""
    return ",".join(
        f'{{"key":"{name}","value":{{"stringValue":{_text(text)}}}}}' for name, text in words.items() if text
    )


def _text(text: str) -> str:
    return json.dumps(text if text.isascii() else text.encode("utf-8", "replace").decode())
