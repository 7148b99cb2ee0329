"""The real OpenTelemetry SDK in a process of its own: what it called is what is counted, to the request."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
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
from trackside_modules.usage import fold

SCRIPT = Path(__file__).with_name("sdk_app.py")
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
        answer = post(body, environ["CONTENT_TYPE"], HTTP_CONTENT_ENCODING=zipped)
        start_response(answer.status, list(answer.headers))
        return [answer.body]

    with make_server("127.0.0.1", 0, serve, handler_class=_Quiet) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/metrics"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("temporality", ["delta", "cumulative"])
@pytest.mark.parametrize("convention", ["", "http", "http/dup"])
def test_every_call_is_counted(runtime: Runtime, endpoint: str, convention: str, temporality: str) -> None:
    environ = os.environ | {
        "OTEL_SEMCONV_STABILITY_OPT_IN": convention,
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, endpoint, str(ROUNDS)], env=environ, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert fold.run(runtime, 1) > 1
    with runtime.database.pool.connection() as connection:
        rows = connection.execute(
            "select e.service, e.method, e.route, m.status, sum(m.calls)::int from usage_minute m"
            " join usage_endpoint e on e.id = m.endpoint_id group by 1, 2, 3, 4"
        ).fetchall()
    assert sorted(rows) == [
        ("sdk", "GET", "(unmatched)", 404, ROUNDS // 10),
        ("sdk", "GET", "/orders/<int:number>", 200, ROUNDS),
        ("sdk", "POST", "/orders", 503, ROUNDS // 5),
    ]
