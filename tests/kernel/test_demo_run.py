"""The demo as a whole, reporting to a stand-in for Trackside over real HTTP."""

import gzip
import json
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from trackside.demo import COUNT_FILE
from trackside.demo.count import Count, read_count
from trackside.demo.run import Demo


class Receiver(ThreadingHTTPServer):
    """Takes OTLP, or refuses it with 503 while `away`; keeps each distinct body once, as Trackside does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: set[bytes] = set()
        self.away = False
        self.refused = threading.Event()

    def calls(self) -> Counter[tuple[str, int, str]]:
        """Return how many requests were reported, by route, status and user."""
        found: Counter[tuple[str, int, str]] = Counter()
        for body in self.bodies:
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    assert metric.name == "http.server.request.duration"
                    for point in metric.exponential_histogram.data_points:
                        said = {each.key: each.value for each in point.attributes}
                        route = said["http.route"].string_value if "http.route" in said else "(unmatched)"
                        user = said["trackside.user"].string_value if "trackside.user" in said else ""
                        method = said["http.request.method"].string_value
                        found[f"{method} {route}", said["http.response.status_code"].int_value, user] += point.count
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.away:
            self.server.refused.set()
            self.send_response(503)
        else:
            assert self.headers["Authorization"] == "Bearer key"
            if self.path == "/v1/metrics":
                self.server.bodies.add(gzip.decompress(body))
            self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _demo(receiver: Receiver, folder: Path) -> Demo:
    return Demo(f"http://127.0.0.1:{receiver.server_port}", "key", folder)


def _wait_for(demo: Demo, calls: int) -> None:
    deadline = time.monotonic() + 120
    while demo.count.now().total < calls and time.monotonic() < deadline:
        time.sleep(0.05)


def test_what_is_reported_equals_what_was_counted(receiver: Receiver, tmp_path: Path) -> None:
    demo = _demo(receiver, tmp_path)
    demo.start()
    _wait_for(demo, 30)
    shown = json.load(urllib.request.urlopen(f"{demo.url}/count"))
    assert shown["running"]
    assert shown["total"] >= 30
    demo.stop()
    counted, reported = read_count(tmp_path / COUNT_FILE), receiver.calls()
    assert not counted.running
    assert counted.total == reported.total()
    assert sum(counted.routes.values()) == sum(counted.statuses.values()) == sum(counted.users.values())
    for place, parts in enumerate((counted.routes, counted.statuses, counted.users)):
        by_part: Counter[str] = Counter()
        for key, calls in reported.items():
            by_part[str(key[place])] += calls
        assert by_part == parts


def test_what_was_counted_while_trackside_was_away_is_reported_after(receiver: Receiver, tmp_path: Path) -> None:
    receiver.away = True
    demo = _demo(receiver, tmp_path)
    demo.start()
    assert receiver.refused.wait(120)
    # Longer than the exporter itself keeps trying: what it gives up is what must come again.
    time.sleep(3.5)
    receiver.away = False
    _wait_for(demo, 50)
    demo.stop()
    assert receiver.calls().total() == read_count(tmp_path / COUNT_FILE).total


def test_a_restart_goes_on_counting_where_the_last_run_stopped(tmp_path: Path) -> None:
    path = tmp_path / COUNT_FILE
    first = Count(path)
    first.add("GET /v1/rates", 200, "isla-shop")
    first.keep(running=False)
    second = Count(path, "http://127.0.0.1:1")
    second.add("GET /v1/rates", 429, "isla-shop")
    assert second.now().total == 2
    assert second.now().routes == {"GET /v1/rates": 2}
    assert second.now().statuses == {"200": 1, "429": 1}


def test_a_count_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / COUNT_FILE).write_bytes(b"{")
    assert read_count(tmp_path / COUNT_FILE).total == 0
