"""A server to report to: one that only listens, and the real one behind a socket."""

import gzip
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from trackside.clock import SystemClock
from trackside.registry import Registry
from trackside.runtime import Runtime, build_runtime
from trackside.serve import build
from trackside.settings import Settings
from trackside_client._transport import notes
from trackside_client.usage import reporter


class Door:
    """Takes reports as a server does, by their bytes: what comes twice counts once. `answers` come first, in order."""

    def __init__(self, port: int = 0) -> None:
        self.bodies: dict[bytes, str] = {}
        self.received: list[tuple[str, bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.headers: dict[str, str] = {}
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                door.received.append((self.path, body))
                door.headers = dict(self.headers)
                status, headers = door.answers.pop(0) if door.answers else (200, {})
                if status == 200:
                    door.bodies[body] = self.path
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop; nobody listens at the port any more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def calls(self) -> Counter[tuple[Any, ...]]:
        """Return the requests told, by method, route, status, user and account."""
        found: Counter[tuple[Any, ...]] = Counter()
        for body, path in self.bodies.items():
            if path == "/v1/metrics":
                found.update(_points(json.loads(body)))
        return found

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans told."""
        told = [json.loads(body) for body, path in self.bodies.items() if path == "/v1/traces"]
        return [span for each in told for span in each["resourceSpans"][0]["scopeSpans"][0]["spans"]]


def attributes(pairs: list[dict[str, Any]]) -> dict[str, str]:
    """Return OTLP's attributes as texts."""
    return {pair["key"]: str(next(iter(pair["value"].values()))) for pair in pairs}


def _points(told: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for metric in told["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]:
        for point in metric.get("exponentialHistogram", {}).get("dataPoints", []):
            it = attributes(point["attributes"])
            names = ("http.request.method", "http.route", "http.response.status_code")
            found[(*map(it.get, names), it.get("trackside.user"), it.get("trackside.account"))] += point["count"]
    return found


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Say everything anew in each test, spool in the test's own folder, and leave no reporter behind."""
    monkeypatch.setenv("TRACKSIDE_SPOOL", str(tmp_path / "spool"))
    notes._said.clear()
    yield
    for each in list(reporter._living):
        each._stopping.set()
    reporter._living.clear()
    reporter._reporters.clear()


@pytest.fixture
def counted() -> Callable[[Any], dict[tuple[Any, ...], int]]:
    """Return what a middleware has counted since the last time, without sending it."""

    def take(middleware: Any) -> dict[tuple[Any, ...], int]:
        found: Counter[tuple[Any, ...]] = Counter()
        for window in middleware.site.reporter.counters.take():
            for key, series in window.series.items():
                found[key] += sum(series.buckets.values())
        return dict(found)

    return take


class Trackside:
    """The real server's WSGI application behind a socket, and its address."""

    def __init__(self, runtime: Runtime, key: str, port: int = 0) -> None:
        self.runtime, self.key = runtime, key

        class Server(ThreadingMixIn, WSGIServer):
            pass

        class Quiet(WSGIRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

        self._app = build(runtime)
        self._make = lambda at: make_server("127.0.0.1", at, self._app, Server, Quiet)
        self.port = port
        self.open()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, at the same port as before."""
        self._server = self._make(self.port)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what the fold has counted: service, method, route, status, user, calls."""
        from trackside_modules.usage.folding import fold

        while fold.run(self.runtime, 1):
            pass
        with self.runtime.database.pool.connection() as connection:
            return connection.execute(
                "select e.service, e.method, e.route, m.status, coalesce(u.external_id, ''), sum(m.calls)::int"
                " from usage_minute m join usage_endpoint e on e.id = m.endpoint_id"
                " left join customer_user u on u.id = m.user_id group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5"
            ).fetchall()


@pytest.fixture
def trackside(settings: Settings, registry: Registry, api_key: Callable[..., str]) -> Iterator[Trackside]:
    """Serve the real server on the machine's own clock."""
    runtime = build_runtime(settings, registry, SystemClock())
    made = Trackside(runtime, api_key("ingest"))
    yield made
    made.close()
    runtime.close()
