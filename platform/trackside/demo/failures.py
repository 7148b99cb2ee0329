"""What went wrong in the demo API, one span a request: why a call failed, and what was asked for that does not exist.

The numbers come from the metric (see `trackside.demo.telemetry`); these spans add the why. Only failures are sent.
"""

import time

from flask import Flask, Response, g, request, request_finished
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from trackside.demo.telemetry import caller

EXPORT_SECONDS = 2.0


def report_failures(app: Flask, provider: TracerProvider) -> None:
    """Send a server span for each request of `app` that was answered with 400 or more."""
    tracer = provider.get_tracer("shipping")

    def tell(_: Flask, response: Response, **rest: object) -> None:
        if response.status_code < 400:
            return
        route = request.url_rule.rule if request.url_rule else None
        ended = time.time_ns()
        began = ended - int((time.perf_counter() - g.began) * 1e9)
        span = tracer.start_span(f"{request.method} {route or ''}".strip(), kind=SpanKind.SERVER, start_time=began)
        span.set_attributes(
            {
                "http.request.method": request.method,
                "http.response.status_code": response.status_code,
                "url.path": request.path,
                **({"http.route": route} if route else {}),
                **caller(),
            }
        )
        if failure := g.get("failure"):
            span.set_attribute("error.type", failure[0])
            span.add_event("exception", {"exception.type": failure[0], "exception.message": failure[1]}, ended)
        span.end(ended)

    request_finished.connect(tell, app, weak=False)


def tracer_provider(base_url: str, key: str, resource: Resource) -> TracerProvider:
    """Return a provider that posts spans to Trackside at `base_url` with `key`; what it cannot deliver it drops."""
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(
        endpoint=f"{base_url.rstrip('/')}/v1/traces",
        headers={"Authorization": f"Bearer {key}"},
        compression=Compression.Gzip,
        timeout=3,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_SECONDS * 1000))
    return provider
