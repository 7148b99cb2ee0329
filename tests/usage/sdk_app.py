"""A Flask app under the OpenTelemetry SDK: makes a fixed number of requests to itself, exports them, and ends.

Run as a program of its own: `sdk_app.py ENDPOINT ROUNDS`; conventions and temporality come from OTEL_* variables.
"""

import sys
import time

from flask import Flask, abort
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource


def main(endpoint: str, rounds: int) -> None:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint), export_interval_millis=200)
    provider = MeterProvider(metric_readers=[reader], resource=Resource.create({"service.name": "sdk"}))
    metrics.set_meter_provider(provider)
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
    provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
