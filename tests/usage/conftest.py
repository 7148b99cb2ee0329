"""Requests as OpenTelemetry sends them, and a door to put them through."""

import io
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from trackside.auth.principal import KeyPrincipal
from trackside.errors import TracksideError
from trackside.lane import LaneRequest, LaneResponse
from trackside.runtime import Runtime
from trackside_modules.usage import lane

NANO = 1_000_000_000


@pytest.fixture
def export() -> Callable[..., ExportMetricsServiceRequest]:
    """Make a request with one explicit histogram point for each of `points`."""

    def make(
        *points: dict[str, Any],
        name: str = "http.server.request.duration",
        unit: str = "s",
        temporality: int = 1,
        service: str = "shop",
    ) -> ExportMetricsServiceRequest:
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        metric = resource.scope_metrics.add().metrics.add(name=name, unit=unit)
        metric.histogram.aggregation_temporality = temporality
        for given in points:
            _point(metric, dict(given))
        return request

    return make


def _point(metric: Any, given: dict[str, Any]) -> None:
    point = metric.histogram.data_points.add()
    attributes = {"http.request.method": "GET", "http.route": "/orders", "http.response.status_code": 200}
    attributes |= given.pop("attributes", {})
    for key, value in attributes.items():
        kind = "int_value" if isinstance(value, int) else "string_value"
        setattr(point.attributes.add(key=key).value, kind, value)
    counts = given.pop("counts", [0, 1, 0])
    values: dict[str, Any] = {"time_unix_nano": 0, "bounds": [0.1, 1.0], "count": sum(counts), "sum": sum(counts) * 0.5}
    values |= given
    point.explicit_bounds.extend(values.pop("bounds"))
    point.bucket_counts.extend(counts)
    for field, value in values.items():
        setattr(point, field, value)


@pytest.fixture
def post(runtime: Runtime) -> Callable[..., LaneResponse]:
    """Put a body through the door, as the lane does."""
    handle = lane.metrics(runtime)

    def send(body: bytes, media: str = "application/x-protobuf", key_id: int = 7, **environ: Any) -> LaneResponse:
        key = KeyPrincipal(key_id, 1, "ingest")
        found = {"CONTENT_TYPE": media, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} | environ
        request = LaneRequest(found, "/v1/metrics", key)
        try:
            return handle(request)
        except TracksideError as error:
            return lane.failure(request, error)

    return send


@pytest.fixture
def now_ns(runtime: Runtime) -> int:
    """Return the frozen clock in nanoseconds."""
    return int(runtime.clock.now().timestamp()) * NANO


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, at most ten seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < ends, "waited ten seconds in vain"
            time.sleep(0.02)

    return wait
