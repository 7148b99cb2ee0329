"""The page Sources: what each service sends, what is missing, and the way to the first request."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold
from trackside_modules.usage.models import UsageInstance, UsageSource
from trackside_modules.usage.reports import advice

LONG = "a-service-" + "with-a-very-long-name-" * 5


@pytest.fixture
def browser(signed_in_client: Callable[..., FlaskClient]) -> FlaskClient:
    return signed_in_client("viewer")


@pytest.fixture
def sources(runtime: Runtime) -> Callable[..., None]:
    """Write sources: `sources("shop", points=10, without_user=9)`."""

    def make(service: str, signal: str = "metrics", skew_ms: int | None = None, **values: Any) -> None:
        now = runtime.clock.now()
        about = dict.fromkeys(("sdk", "language", "version", "distro", "scope"), "")
        counts = dict.fromkeys(("points", "without_user", "without_route", "approximate"), 0)
        seen = {"first_seen_at": now, "last_seen_at": now}
        with runtime.database.session() as session:
            session.add(UsageSource(env_id=1, service=service, signal=signal, **(about | counts | seen | values)))
            if skew_ms is not None:
                session.add(UsageInstance(env_id=1, service=service, instance="host:1", skew_ms=skew_ms, **seen))

    return make


def test_before_anybody_sent_anything_every_way_to_do_so_is_told(browser: FlaskClient) -> None:
    page = browser.get("/usage/sources").text
    for way in ("OTEL_EXPORTER_OTLP_ENDPOINT", "APITALLY_OTLP_ENDPOINT", "UsageWSGI", "/v1/events", "--apitally"):
        assert way in page
    assert "data-copy" in page
    assert browser.get("/usage/sources/new").status_code == 200


def test_a_service_is_listed_with_its_sdk_and_what_to_mend(browser: FlaskClient, sources: Callable[..., None]) -> None:
    sources("shop", sdk="opentelemetry", language="python", version="1.45.1", points=100, without_user=93)
    page = browser.get("/usage/sources").text
    assert "opentelemetry python 1.45.1" in page
    assert "no user on 93 %" in page
    page = browser.get("/usage/sources/service?name=shop").text
    assert "93 % of what it sends carries no user" in page
    assert "set_attribute" in page


@pytest.mark.parametrize(
    ("given", "short", "line"),
    [
        ({"approximate": 10}, "approximate latency", "base2_exponential_bucket_histogram"),
        ({"without_route": 5}, "no route on 50 %", "OTEL_SEMCONV_STABILITY_OPT_IN=http"),
        ({"skew_ms": 60_000}, "clock off", "set-ntp"),
        ({"without_user": 10, "language": "go"}, "no user on 100 %", "LabelerFromContext"),
        ({"without_user": 10, "distro": "apitally-py"}, "no user on 100 %", "set_consumer"),
        ({"signal": "traces"}, "spans alone", "OTEL_METRICS_EXPORTER=otlp"),
        ({}, "no error messages", "OTEL_TRACES_EXPORTER=otlp"),
        ({}, "no version", "service.version"),
    ],
)
def test_each_thing_that_is_missing_comes_with_the_line_that_mends_it(
    browser: FlaskClient, sources: Callable[..., None], given: dict[str, Any], short: str, line: str
) -> None:
    sources("shop", points=10, **given)
    page = browser.get("/usage/sources/service?name=shop").text
    assert line in page
    if short not in {"spans alone", "no error messages", "no version"}:
        assert short in browser.get("/usage/sources?show=mend").text


def test_a_source_without_faults_has_nothing_to_mend() -> None:
    names = dict.fromkeys(("sdk", "language", "version", "distro", "scope"), "")
    fine = UsageSource(service="shop", signal="metrics", points=10, without_user=0, without_route=0, approximate=0)
    traces = UsageSource(service="shop", signal="traces", points=10, without_user=0, without_route=0, approximate=0)
    for it in (fine, traces):
        for name, value in names.items():
            setattr(it, name, value)
    assert advice.advise(advice.Service("shop", {"metrics": fine, "traces": traces}, [], versions=1)) == []


def test_300_services_come_in_pages_of_50_and_can_be_searched(
    browser: FlaskClient, sources: Callable[..., None]
) -> None:
    for number in range(300):
        sources(f"service-{number:03}", points=1)
    sources(LONG, points=1)
    page = browser.get("/usage/sources").text
    assert page.count("/usage/sources/service?") == 50
    assert "cursor=50" in page
    assert browser.get("/usage/sources?cursor=300").text.count("/usage/sources/service?") == 1
    assert browser.get("/usage/sources?q=with-a-very").text.count("/usage/sources/service?") == 1
    assert "No service has this in its name" in browser.get("/usage/sources?q=%25").text
    assert browser.get("/usage/sources?cursor=x").status_code == 422


def test_a_service_that_never_sent_is_not_found(browser: FlaskClient, sources: Callable[..., None]) -> None:
    sources("shop", points=1)
    assert browser.get("/usage/sources/service?name=nobody").status_code == 404
    assert browser.get("/usage/sources/service").status_code == 422
    assert browser.get("/usage/sources/service?env=staging&name=shop").status_code == 404


def test_a_quiet_service_says_so(browser: FlaskClient, sources: Callable[..., None], clock: FrozenClock) -> None:
    sources("shop", points=1)
    assert "Quiet 0" in browser.get("/usage/sources").text
    clock.advance(timedelta(hours=2))
    assert browser.get("/usage/sources?show=quiet").text.count("/usage/sources/service?") == 1


def test_what_was_noticed_on_the_way_in_is_told(
    browser: FlaskClient, runtime: Runtime, post: Callable[..., Any], export: Callable[..., Any], now_ns: int
) -> None:
    post(export({"time_unix_nano": 0}, {"time_unix_nano": now_ns}).SerializeToString())
    fold.run(runtime, 1)
    assert "it has no time" in browser.get("/usage/sources").text


def test_names_of_services_are_inert(browser: FlaskClient, sources: Callable[..., None]) -> None:
    sources("<script>alert(1)</script>", points=1)
    page = browser.get("/usage/sources").text
    assert "<script>alert" not in page
    assert browser.get("/usage/sources/service?name=%3Cscript%3Ealert(1)%3C/script%3E").status_code == 200
