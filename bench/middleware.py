"""CPU that reporting adds to a request: trackside-client beside its peers, each against the bare application.

One trivial Flask route under nothing, trackside-client, prometheus-flask-exporter, OpenTelemetry's Flask
instrumentation (metrics alone, as cheap as it gets) and Apitally; one trivial route of Starlette and of Django with and
without trackside-client; and, where node is installed, Node's own http server with and without the JavaScript client.
Each measurement is a fresh process on one core that holds the application twice, bare and reporting (one and the same
within a wrapper, where reporting is one: trackside-client's on Flask and Starlette), and asks them in turn, 64 requests
at a time, without a server; it takes the process's CPU time, threads included, of the fastest tenth of the turns. 64 is
how many requests trackside-client adds up at once, so that every turn has paid for that, and each turn collects its own
garbage. What goes out every few seconds is in the slower turns, of every kind alike. The kinds alternate over the
rounds, and the median of the rounds is printed; "nothing" is the bare application beside a second one: how far to trust
the others.

    python bench/middleware.py            # at most 80 s; the first time it installs the peers into .venv/bench

The peers and their versions are the extra `bench` of clients/python, locked in requirements/bench.lock.
"""

import argparse
import asyncio
import gc
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".venv" / "bench"
LOCK = ROOT / "requirements" / "bench.lock"
NOTHING = "nothing"
NODE = shutil.which("node")
JS = ROOT / "bench" / "middleware.mjs"
FLASK, STARLETTE, DJANGO = "trackside-client", "trackside-client on starlette", "trackside-client on django"
NODES = "trackside-client on node's http"
OURS = (FLASK, STARLETTE, DJANGO, *((NODES,) if NODE else ()))
KINDS = (NOTHING, *OURS, "prometheus-flask-exporter", "opentelemetry", "apitally")
TURN_SECONDS, CHUNK = 1.5, 64
MOST_SECONDS = 75.0
Ask = Callable[[int], None]
"""Makes so many requests."""


def flask_app(kind: str, url: str) -> Any:
    """Return a Flask application with one route, reporting by `kind` to `url`."""
    from flask import Flask

    app = Flask("bench")

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return "hello"

    if kind == "prometheus-flask-exporter":
        from prometheus_flask_exporter import PrometheusMetrics

        PrometheusMetrics(app, group_by="url_rule")
    elif kind == "opentelemetry":
        _opentelemetry(app, url)
    elif kind == "apitally":
        import apitally.flask

        apitally.flask.init(app, write_token="apt_" + "x" * 24, env="bench", otlp_endpoint=url)
    return app


def _opentelemetry(app: Any, url: str) -> None:
    from opentelemetry import metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{url}/v1/metrics"))
    metrics.set_meter_provider(MeterProvider([reader]))
    FlaskInstrumentor().instrument_app(app)


def ask_wsgi(app: Any) -> Ask:
    """Return a function that makes requests of a WSGI application as a server would."""
    from werkzeug.test import EnvironBuilder

    environ = EnvironBuilder("/hello/you").get_environ()

    def start(status: str, headers: Any, exc_info: Any = None) -> None:
        assert status == "200 OK"

    def ask(times: int) -> None:
        for _ in range(times):
            body = app(dict(environ), start)
            for _part in body:
                pass
            body.close()

    return ask


def flask_pair(url: str) -> tuple[Ask, Ask]:
    """Return what asks one Flask application bare and wrapped: two would lie differently in the caches."""
    from trackside_client.usage import UsageWSGI

    app = flask_app("", url)
    return ask_wsgi(app.wsgi_app), ask_wsgi(UsageWSGI(app.wsgi_app, url=url, api_key="key", spool="off"))


def starlette_pair(url: str) -> tuple[Ask, Ask]:
    """Return what asks one Starlette application with one route bare and wrapped."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from trackside_client.usage import UsageASGI

    async def hello(_: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/hello/{name}", hello)])
    scope = {"type": "http", "method": "GET", "path": "/hello/you", "root_path": "", "headers": [], "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    loop = asyncio.new_event_loop()

    def asking(asked: Any) -> Ask:
        async def several(times: int) -> None:
            for _ in range(times):
                await asked(dict(scope), receive, send)

        return lambda times: loop.run_until_complete(several(times))

    return asking(app), asking(UsageASGI(app, url=url, api_key="key", spool="off"))


def django_app(kind: str, url: str) -> Any:
    """Return a Django application with one route; settings are the process's, the middleware is read here."""
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    if not settings.configured:
        import django

        urls = type("Urls", (), {"urlpatterns": [path("hello/<name>", lambda request, name: HttpResponse("hello"))]})
        given = {"url": url, "api_key": "key", "spool": "off"}
        settings.configure(
            ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, ROOT_URLCONF=urls, SECRET_KEY="signs nothing", TRACKSIDE=given
        )
        django.setup()
    settings.MIDDLEWARE = ["trackside_client.usage.django.UsageMiddleware"] if kind else []
    return WSGIHandler()


def measure(kind: str, url: str) -> tuple[float, float]:
    """Return the CPU of a bare request and what reporting adds, in microseconds.

    Both are taken from the fastest tenth of the turns: whatever else runs on the machine only adds.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if kind == FLASK:
        bare, reporting = flask_pair(url)
    elif kind == STARLETTE:
        bare, reporting = starlette_pair(url)
    else:
        make = django_app if kind == DJANGO else flask_app
        bare, reporting = ask_wsgi(make("", url)), ask_wsgi(make(kind, url))
    for ask in (bare, reporting) * 2:
        ask(CHUNK)
    gc.collect()
    gc.freeze()
    gc.disable()
    times: dict[Ask, list[float]] = {bare: [], reporting: []}
    until = time.process_time() + TURN_SECONDS
    while time.process_time() < until:
        for ask in (bare, reporting) if len(times[bare]) % 2 else (reporting, bare):
            began = time.process_time()
            ask(CHUNK)
            gc.collect(1)
            times[ask].append((time.process_time() - began) / CHUNK * 1e6)
    whole, with_it = (statistics.quantiles(times[ask], n=10)[0] for ask in (bare, reporting))
    return whole, with_it - whole


class _Sink(BaseHTTPRequestHandler):
    """Takes whatever is reported."""

    def do_POST(self) -> None:
        """Answer 200."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def install() -> Path:
    """Return the Python of an environment with the peers, installed from the lock where it has changed."""
    python, stamp = HOME / "bin" / "python", HOME / "stamp"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        uv = next(
            (each for each in (str(ROOT / ".venv/bin/uv"), shutil.which("uv")) if each and Path(each).exists()), ""
        )
        if not uv:
            raise SystemExit("run bin/test once: it fetches uv, which installs what is compared here")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(HOME)], check=True)
        pip = [uv, "pip", "install", "-q", "--python", str(python)]
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
        subprocess.run([*pip, "--no-deps", str(ROOT / "clients/python")], check=True)
        stamp.write_text(wanted)
    return python


def rounds(python: Path, url: str, most: int) -> dict[str, list[tuple[float, float]]]:
    """Return each kind's figures, one a round, in as many rounds as fit."""
    environ = os.environ | {
        "PYTHONPATH": str(ROOT / "clients/python/src"),
        "PYTHONHASHSEED": "0",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    }
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    began = time.monotonic()
    for number in range(most):
        if number and (time.monotonic() - began) * (number + 1) / number > MOST_SECONDS:
            break
        for place in range(len(KINDS)):
            kind = KINDS[(place + number) % len(KINDS)]
            command = [str(python), __file__, "--measure", kind, "--url", url]
            if kind == NODES:
                command = [str(NODE), "--expose-gc", str(JS), url, str(TURN_SECONDS), str(CHUNK)]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
            whole, added = map(float, done.stdout.split()[-2:])
            found[kind].append((whole, added))
    return found


def show(found: dict[str, list[tuple[float, float]]]) -> None:
    """Print the table."""
    added = {kind: statistics.median(each for _, each in figures) for kind, figures in found.items()}
    cheapest = min(value for kind, value in added.items() if kind not in (NOTHING, *OURS))
    print(
        f"{len(found[KINDS[0]])} rounds of {TURN_SECONDS} s in turns of {CHUNK} requests; CPU a request in us, "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    print(f"{'':<30}{'bare':>9}{'added':>9}{'from':>9}{'to':>9}{'of the cheapest peer':>23}")
    for kind, figures in found.items():
        bare, each = statistics.median(whole for whole, _ in figures), [one for _, one in figures]
        line = f"{kind:<30}{bare:>9.1f}{added[kind]:>9.1f}{min(each):>9.1f}{max(each):>9.1f}"
        print(line if kind in OURS[1:] else f"{line}{added[kind] / cheapest:>23.2f}")  # the peers are Flask's
    print(
        "Node's http has no peer here: theirs are npm packages, and nothing of npm is installed." if NODE else "no node"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what reporting costs a request.")
    parser.add_argument("--rounds", type=int, default=7, help="at most; fewer where they would take too long")
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(*measure(options.measure, options.url), flush=True)
        os._exit(0)  # the peers' last exports are not part of it
    python = install()
    sink = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    show(rounds(python, f"http://127.0.0.1:{sink.server_port}", options.rounds))


if __name__ == "__main__":
    main()
