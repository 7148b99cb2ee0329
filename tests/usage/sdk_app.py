"""A Flask app under the OpenTelemetry SDK: makes a fixed number of requests to itself, exports them, and ends.

Run as a program of its own: `sdk_app.py BASE ROUNDS [SIGNALS] [FORMAT]`; signals are `metrics`, `traces` or
`metrics,traces`, the format `protobuf` or `json`; conventions and temporality come from OTEL_* variables.
"""

import sys
import time
from typing import Any

from flask import Flask, abort
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def exporters(form: str) -> tuple[Any, Any]:
    if form == "json":
        from opentelemetry.exporter.otlp.json.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # type: ignore[assignment]
            OTLPMetricExporter,
        )
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # type: ignore[assignment]
    return OTLPMetricExporter, OTLPSpanExporter


def main(base: str, rounds: int, signals: str = "metrics", form: str = "protobuf") -> None:
    measured, traced = exporters(form)
    resource = Resource.create({"service.name": "sdk"})
    providers: list[Any] = []
    if "metrics" in signals:
        reader = PeriodicExportingMetricReader(measured(endpoint=f"{base}/v1/metrics"), export_interval_millis=200)
        providers.append(MeterProvider(metric_readers=[reader], resource=resource))
        metrics.set_meter_provider(providers[-1])
    if "traces" in signals:
        providers.append(TracerProvider(resource=resource))
        exporter = traced(endpoint=f"{base}/v1/traces")
        providers[-1].add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=100))
        trace.set_tracer_provider(providers[-1])
    app = Flask("sdk")
    FlaskInstrumentor().instrument_app(app)

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        return str(number)

    @app.post("/orders")
    def make() -> str:
        abort(503)

    client = app.test_client()
    for number in range(rounds):
        client.get(f"/orders/{number}")
        if number % 5 == 0:
            client.post("/orders")
        if number % 10 == 0:
            client.get("/nowhere")
            time.sleep(0.1)
    for provider in providers:
        provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
