"""How the demo API reports its requests: the OpenTelemetry SDK, with the user recorded by the API itself.

The metric is the standard `http.server.request.duration`. The ready-made Flask instrumentation cannot carry a user on
it (its hooks see only the span, and its metric's attributes are a fixed list), so the API records the metric in ten
lines of its own, which are also what the README shows. ADR 0070 says more.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, request, request_finished, request_started
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from trackside.demo import ENVIRONMENT, SERVICE
from trackside.demo.story import RELEASES

VERSION = RELEASES[-1][1]
METRIC = "http.server.request.duration"
EXPORT_SECONDS = 1.0
KEPT_EXPORTS = 900
"""Exports kept while Trackside is away: a quarter of an hour, some 2 MB."""


def record_requests(app: Flask, provider: MeterProvider, who: Callable[[], dict[str, str]]) -> None:
    """Record each request of `app` as `http.server.request.duration`, with the attributes that `who` answers."""
    duration = provider.get_meter("shipping").create_histogram(METRIC, unit="s")

    def begin(_: Flask, **rest: Any) -> None:
        g.began = time.perf_counter()

    def record(_: Flask, response: Response, **rest: Any) -> None:
        attributes: dict[str, Any] = {
            "http.request.method": request.method,
            "http.response.status_code": response.status_code,
            **who(),
        }
        if request.url_rule is not None:
            attributes["http.route"] = request.url_rule.rule
        duration.record(time.perf_counter() - g.began, attributes)

    request_started.connect(begin, app, weak=False)
    request_finished.connect(record, app, weak=False)


def caller() -> dict[str, str]:
    """Return the user and account of this request as attributes; none where its key was refused."""
    known = g.get("caller")
    return {"trackside.user": known.external_id, "trackside.account": known.account_id} if known else {}


class PatientExporter(MetricExporter):
    """Keeps what could not be delivered and sends it again, unchanged, before anything newer.

    The SDK gives up after ten seconds, and what was counted meanwhile would be lost for ever since we send deltas.
    Sending the very same batch twice is safe: Trackside knows it by its hash.
    """

    def __init__(self, inner: OTLPMetricExporter) -> None:
        super().__init__(
            preferred_temporality=inner._preferred_temporality,
            preferred_aggregation=inner._preferred_aggregation,
        )
        self._inner = inner
        self._waiting: deque[MetricsData] = deque(maxlen=KEPT_EXPORTS)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Send what waits, the oldest first, then `metrics_data`."""
        self._waiting.append(metrics_data)
        while self._waiting:
            result = self._inner.export(self._waiting[0], timeout_millis)
            if result is not MetricExportResult.SUCCESS:
                return result
            self._waiting.popleft()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: what could be sent has been."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop sending."""
        self._inner.shutdown(timeout_millis)


def resource() -> Resource:
    """Return who reports: the service, its version, and this process of it."""
    return Resource.create(
        {
            "service.name": SERVICE,
            "service.version": VERSION,
            "service.instance.id": uuid4().hex,
            "deployment.environment.name": ENVIRONMENT,
        }
    )


def meter_provider(base_url: str, key: str, reporter: Resource, *, every: float = EXPORT_SECONDS) -> MeterProvider:
    """Return a provider that posts to Trackside at `base_url` with `key`, each `every` seconds."""
    exporter = OTLPMetricExporter(
        endpoint=f"{base_url.rstrip('/')}/v1/metrics",
        headers={"Authorization": f"Bearer {key}"},
        compression=Compression.Gzip,
        timeout=3,
        preferred_temporality={Histogram: AggregationTemporality.DELTA},
    )
    # The same buckets as Trackside keeps, so that percentiles are as exact here as there.
    buckets = ExponentialBucketHistogramAggregation(max_size=160, max_scale=4)
    reader = PeriodicExportingMetricReader(PatientExporter(exporter), export_interval_millis=every * 1000)
    return MeterProvider([reader], reporter, views=[View(instrument_name=METRIC, aggregation=buckets)])
