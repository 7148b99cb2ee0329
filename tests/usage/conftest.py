"""Requests as OpenTelemetry sends them, and a door to put them through."""

import io
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from sqlalchemy import insert as sa_insert
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside.auth.principal import KeyPrincipal
from trackside.customers.models import User
from trackside.errors import TracksideError
from trackside.lane import LaneRequest, LaneResponse, problem
from trackside.runtime import Runtime
from trackside_modules.usage.ingest import lane
from trackside_modules.usage.ingest.events import door
from trackside_modules.usage.models import UsageDirty, UsageEndpoint, UsageMinute
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage import partitions, reach
from trackside_modules.usage.storage.histogram import pack
from trackside_modules.usage.storage.tiers import BY_ENDPOINT, BY_USER, OF_USER

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
    doors = {f"/v1/{door.__name__}": door(runtime) for door in (lane.metrics, lane.traces, lane.logs)}

    def send(
        body: bytes,
        media: str = "application/x-protobuf",
        key_id: int = 7,
        path: str = "/v1/metrics",
        **environ: Any,
    ) -> LaneResponse:
        key = KeyPrincipal(key_id, 1, "ingest")
        found = {"CONTENT_TYPE": media, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} | environ
        request = LaneRequest(found, path, key)
        try:
            return doors[path](request)
        except TracksideError as error:
            return lane.failure(request, error)

    return send


@pytest.fixture
def now_ns(runtime: Runtime) -> int:
    """Return the frozen clock in nanoseconds."""
    return int(runtime.clock.now().timestamp()) * NANO


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, at most two minutes."""

    def wait(condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < ends, "waited two minutes in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def history(session: Session) -> Callable[..., None]:
    """Count calls, as (minute, service, user number or 0, status[, route]), into all tables, as fold and roll-up do."""

    def make(calls: Iterable[tuple[Any, ...]], now: datetime) -> None:
        history_of(session, [(*it, "/orders")[:5] for it in calls], now)

    return make


def history_of(session: Session, calls: list[tuple[Any, ...]], now: datetime) -> None:
    """Write every tier whole, and mark the hour going on as dirty: it counts in minutes alone."""
    for unit in ("minute", "hour", "day"):
        connection: Any = session.connection().connection.driver_connection
        partitions.ensure(connection, unit, [it[0] for it in calls])  # type: ignore[arg-type]
    numbers = {
        number: session.scalars(
            insert(User)
            .values(external_id=f"user{number}", source="usage")
            .on_conflict_do_update(index_elements=["external_id"], set_={"source": "usage"})
            .returning(User.id)
        ).one()
        for number in {it[2] for it in calls} - {0}
    }
    ends: dict[tuple[str, str], int] = {}
    for service, route in {(it[1], it[4]) for it in calls}:
        endpoint = UsageEndpoint(env_id=1, service=service, method="GET", route=route, first_seen_at=now)
        session.add(endpoint)
        session.flush()
        ends[service, route] = endpoint.id
    this = now.replace(minute=0, second=0, microsecond=0)
    for unit, table in BY_USER.items():
        _write(
            session, unit, table, calls, numbers, ends, lambda e, u, s: {"endpoint_id": e, "user_id": u, "status": s}
        )
    for unit, table in BY_ENDPOINT.items():
        _write(session, unit, table, calls, numbers, ends, lambda e, u, s: {"endpoint_id": e, "status": s})
    for unit, table in OF_USER.items():
        _write(session, unit, table, calls, numbers, ends, lambda e, u, s: {"user_id": u})
    for tier, at in (("hour", this), ("day", this.replace(hour=0))):
        session.merge(UsageDirty(env_id=1, tier=tier, at=at, number=1))
    session.flush()


def _write(session: Session, unit: str, table: Any, calls: Any, numbers: Any, ends: Any, key: Any) -> None:
    rows: dict[Any, dict[str, Any]] = {}
    everybody: dict[Any, set[int]] = {}
    for called, service, number, status, route in calls:
        at = called.astimezone(UTC).replace(second=0, microsecond=0)
        start = at if unit == "minute" else at.replace(minute=0) if unit == "hour" else at.replace(minute=0, hour=0)
        user = numbers.get(number, 0)
        column = "minute" if table is UsageMinute else "at"
        keys = {"env_id": 1, column: start, **key(ends[service, route], user, status)}
        row = rows.setdefault(tuple(keys.values()), keys | {"calls": 0, "micros": 0, "longest": 50_000, "slow": 0})
        row["calls"] += 1
        row["micros"] += 50_000
        row["latency"] = pack({-69: row["calls"]})
        if "status" not in keys:
            row["client_errors"] = row.get("client_errors", 0) + (400 <= status < 500)
            row["server_errors"] = row.get("server_errors", 0) + (status >= 500)
            wrong = status in (401, 403, 429) or route == UNMATCHED
            row["wrong_turns"] = row.get("wrong_turns", 0) + wrong
        if hasattr(table, "users"):
            everybody.setdefault(tuple(keys.values()), set()).add(user)
            row["users"] = reach.pack(everybody[tuple(keys.values())])
    if rows:
        session.execute(sa_insert(table), list(rows.values()))


@pytest.fixture
def events_door(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    return door.events(runtime)


@pytest.fixture
def send_events(events_door: Callable[[LaneRequest], LaneResponse]) -> Callable[..., tuple[int, Any]]:
    """Send a body (bytes, or anything that JSON can say) and return the status and what was answered."""

    def post(content: Any, media: str = "application/json", key_id: int = 7, **environ: Any) -> tuple[int, Any]:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        found = {"CONTENT_TYPE": media, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} | environ
        request = LaneRequest(found, "/v1/events", KeyPrincipal(key_id, 1, "ingest"))
        try:
            answer = events_door(request)
        except TracksideError as error:
            answer = problem(request, error)
        return int(answer.status[:3]), json.loads(answer.body)

    return post


@pytest.fixture
def event(runtime: Runtime) -> Callable[..., dict[str, Any]]:
    """Make an event of now."""

    def make(**changed: Any) -> dict[str, Any]:
        now = int(runtime.clock.now().timestamp() * 1000)
        made = {"ts": now, "method": "GET", "route": "/orders/{id}", "status": 200, "duration_ms": 12.5}
        return {name: value for name, value in (made | changed).items() if value is not ...}

    return make
