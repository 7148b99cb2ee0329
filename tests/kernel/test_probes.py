"""Probes: alive, ready, and figures for those who may read them."""

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from trackside.app import create_app
from trackside.metrics import Gauge
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings


def gauges(_runtime: object, _session: object) -> list[Gauge]:
    return [Gauge("demo_queue_seconds", "Age of the oldest", 90, behind=True), Gauge("demo_rows", "Rows", 3)]


def contributing(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setattr("trackside.metrics.resolve", lambda ref: gauges if ref == "here" else None)
    modules = (*(replace(m, gauges=None) for m in runtime.registry.modules),)
    modules = (replace(modules[0], gauges="here"), *modules[1:])
    return replace(runtime, registry=replace(runtime.registry, modules=modules))


def test_ready_names_every_part(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json["ready"] is True
    assert {"database": "ok", "migrations": "ok", "redis": "ok"}.items() <= answer.json["parts"].items()


def test_a_missing_redis_is_named_and_still_ready(settings: Settings) -> None:
    runtime = build_runtime(replace(settings, redis_live_url="redis://127.0.0.1:1"))
    answer = create_app(runtime.settings, runtime=runtime).test_client().get("/readyz")
    assert (answer.status_code, answer.json["parts"]["redis"]) == (200, "missing")


def test_an_empty_database_is_not_ready(settings: Settings, empty_database_url: str) -> None:
    runtime = build_runtime(replace(settings, database_url=empty_database_url))
    answer = create_app(runtime.settings, runtime=runtime).test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["parts"]["database"] == "ok"
    assert answer.json["parts"]["migrations"] == "missing"


def test_a_missing_database_is_503_with_retry_after(settings: Settings) -> None:
    runtime = build_runtime(replace(settings, database_url="postgresql+psycopg://x@127.0.0.1:1/x"))
    client = create_app(runtime.settings, runtime=runtime).test_client()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["parts"]["database"]) == (503, "missing")
    assert answer.headers["Retry-After"]
    assert b"trackside_database_up 0.0" in client.get("/metrics").data
    assert client.get("/healthz").status_code == 200


def test_contributed_gauges_are_seen_by_both(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = contributing(runtime, monkeypatch)
    client = create_app(runtime.settings, runtime=runtime).test_client()
    parts = client.get("/readyz").json["parts"]
    assert (parts["demo_queue_seconds"], parts["demo_rows"]) == ("behind", "ok")
    assert b"trackside_demo_queue_seconds 90.0" in client.get("/metrics").data


def test_requests_are_counted_by_template(client: FlaskClient) -> None:
    client.get("/no/such/page")
    client.get("/healthz")
    found = client.get("/metrics").text
    assert 'trackside_http_requests_total{method="GET",route="(unmatched)",status="404"} 1.0' in found
    assert 'trackside_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in found
    assert "trackside_database_pool_size" in found
    assert "/no/such" not in found


@pytest.mark.parametrize(
    ("changed", "environ"),
    [
        ({}, {"REMOTE_ADDR": "203.0.113.9"}),
        ({}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}),
        ({}, {"HTTP_FORWARDED": "for=127.0.0.1"}),
        ({"trusted_proxies": 1}, {}),
        ({"trusted_proxies": 1}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}),
        ({"base_url": "https://trackside.example"}, {}),
    ],
)
def test_metrics_are_for_this_machine_alone(app: Flask, runtime: Runtime, changed: dict, environ: dict) -> None:  # type: ignore[type-arg]
    other = replace(runtime, settings=replace(runtime.settings, **changed))
    client = create_app(other.settings, runtime=other).test_client()
    assert client.get("/metrics", environ_base=environ).status_code == 403


@pytest.mark.parametrize(("sent", "status"), [("right-token", 200), ("wrong", 401), ("", 401), ("ü", 401)])
def test_metrics_take_the_token_from_anywhere(runtime: Runtime, sent: str, status: int) -> None:
    other = replace(runtime, settings=replace(runtime.settings, metrics_token="right-token", trusted_proxies=1))
    client = create_app(other.settings, runtime=other).test_client()
    headers = {"Authorization": f"Bearer {sent}"} if sent else {}
    assert client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": "203.0.113.9"}).status_code == status
