"""The real OpenTelemetry SDK in a process of its own: what it called is what is counted, to the request."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from trackside.clock import SystemClock
from trackside.lane import LaneResponse
from trackside.registry import Registry
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings
from trackside_modules.usage.folding import fold, takeover

SCRIPT = Path(__file__).with_name("sdk_app.py")
APITALLY = Path(__file__).with_name("apitally_app.py")
ROUNDS = 60


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def runtime(settings: Settings, registry: Registry) -> Iterator[Runtime]:
    """Run on the machine's own clock: the SDK does too."""
    made = build_runtime(settings, registry, SystemClock())
    yield made
    made.close()


@pytest.fixture
def endpoint(post: Callable[..., LaneResponse]) -> Iterator[str]:
    """Serve the door on a port of its own."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        zipped = environ.get("HTTP_CONTENT_ENCODING", "")
        answer = post(body, environ["CONTENT_TYPE"], path=environ["PATH_INFO"], HTTP_CONTENT_ENCODING=zipped)
        start_response(answer.status, list(answer.headers))
        return [answer.body]

    with make_server("127.0.0.1", 0, serve, handler_class=_Quiet) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


_CALLS = """
select e.service, e.method, e.route, m.status, sum(m.calls)::int from usage_minute m
join usage_endpoint e on e.id = m.endpoint_id group by 1, 2, 3, 4 order by 1, 2, 3, 4
"""
_EXPECTED = [
    ("sdk", "GET", "(unmatched)", 404, ROUNDS // 10),
    ("sdk", "GET", "/orders/<int:number>", 200, ROUNDS),
    ("sdk", "POST", "/orders", 503, ROUNDS // 5),
]


def _run(*command: str | Path, **environ: str) -> None:
    # Apitally's SDK is silent under pytest
    around = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, *command], env=around | environ, capture_output=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def _rows(runtime: Runtime, sql: str) -> list[Any]:
    with runtime.database.pool.connection() as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
@pytest.mark.parametrize("convention", ["", "http", "http/dup"])
def test_every_call_is_counted(runtime: Runtime, endpoint: str, convention: str, temporality: str) -> None:
    _run(
        SCRIPT,
        endpoint,
        str(ROUNDS),
        "metrics,traces",
        OTEL_SEMCONV_STABILITY_OPT_IN=convention,
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality,
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert fold.run(runtime, 1) > 1
    assert _rows(runtime, _CALLS) == _EXPECTED
    assert _rows(runtime, "select signal, sdk, language from usage_source order by signal") == [
        ("metrics", "opentelemetry", "python"),
        ("traces", "opentelemetry", "python"),
    ]


@pytest.mark.parametrize("form", ["protobuf", "json"])
@pytest.mark.parametrize("convention", ["", "http"])
def test_every_call_is_counted_by_spans_alone(
    runtime: Runtime, endpoint: str, convention: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "WAIT", timedelta(0))
    _run(SCRIPT, endpoint, str(ROUNDS), "traces", form, OTEL_SEMCONV_STABILITY_OPT_IN=convention)
    assert fold.run(runtime, 1) > 1
    assert _rows(runtime, _CALLS) == _EXPECTED
    assert _rows(runtime, "select sum(calls)::int from usage_error where status = 503") == [(ROUNDS // 5,)]


def test_every_call_is_counted_from_json_metrics(runtime: Runtime, endpoint: str) -> None:
    _run(SCRIPT, endpoint, str(ROUNDS), "metrics,traces", "json", OTEL_SEMCONV_STABILITY_OPT_IN="http")
    fold.run(runtime, 1)
    assert _rows(runtime, _CALLS) == _EXPECTED


def test_apitallys_sdk_works_unmodified(runtime: Runtime, endpoint: str) -> None:
    token = "apt_" + "a1B2" * 6
    _run(APITALLY, str(ROUNDS), APITALLY_OTLP_ENDPOINT=endpoint, APITALLY_WRITE_TOKEN=token, OTEL_SERVICE_NAME="shop")
    fold.run(runtime, 1)
    route = "/orders/<int:number>"
    assert _rows(runtime, _CALLS) == [
        ("shop", "GET", "(unmatched)", 404, ROUNDS // 5),
        ("shop", "GET", route, 200, ROUNDS - ROUNDS // 10),
        ("shop", "GET", route, 500, ROUNDS // 10),
        ("shop", "POST", "(unmatched)", 405, ROUNDS // 5),
    ]
    people = "select u.external_id, u.name, a.external_id from customer_user u join account a on a.id = u.account_id"
    assert _rows(runtime, people + " order by 1") == [("ann", "Ann of Acme", "acme"), ("ben", "Ben of Acme", "acme")]
    errors = "select error, message, status, calls::int from usage_error"
    assert _rows(runtime, errors) == [("builtins.KeyError", "<value>", 500, ROUNDS // 10)]
    assert _rows(runtime, "select method, route from usage_route order by route") == [("GET", "/never"), ("GET", route)]
    assert _rows(runtime, "select version from usage_version") == [("2.0.1",)]
    assert _rows(runtime, "select distinct distro from usage_source") == [("apitally-py",)]
    paths = _rows(runtime, "select distinct path from usage_sample where status = 404")
    assert paths == [("/nowhere/{id}",)]
