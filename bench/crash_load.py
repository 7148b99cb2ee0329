"""The load of the crash test: clients that post OTLP as the specification asks, and never give a batch up.

Two kinds: deltas, complete in themselves, and the cumulative counters of a process. The `Ledger` knows what Trackside
must hold for all that was accepted. A batch is sent until it is answered 200, and now and then again after that, in
series or by two connections at once: whatever happens on the way, it must count once.
"""

import gzip
import http.client
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint, ResourceMetrics

Cell = tuple[str, str, int, str]
"""Day, route, status and user: what a count is kept for."""

SERVICE = "crash-test"
RETRYABLE = {429, 502, 503, 504}
FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0
DELTA, CUMULATIVE = 1, 2
AGAIN, TWICE, LATE = 0.15, 0.1, 0.3
"""How often an accepted batch is posted again, a new one by two connections at once, and one about the past."""
_PAST = (3600, 5 * 3600, 25 * 3600, 3 * 86_400, 8 * 86_400, 40 * 86_400, 200 * 86_400)
"""Seconds that late batches are late by: the minutes are still kept, then the hours only, then the days only."""

_ROUTES = tuple(f"/v1/things/{kind}" for kind in ("list", "read", "write", "search", "export"))
_STATUSES = (200, 200, 200, 201, 404, 500)
_USERS = tuple(f"crash-{number}" for number in range(40))


@dataclass
class Ledger:
    """What the clients know: which batches were answered 200, and what they add up to."""

    key_id: int
    cells: Counter[Cell] = field(default_factory=Counter)
    accepted: set[bytes] = field(default_factory=set)
    """Batches by the name that Trackside gives them: a hash of the key and the body."""
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=200))
    """The last bodies, to be posted again."""
    repeats: int = 0
    retries: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Answers no conforming client may get for a correct batch, by status."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, body: bytes, cells: Counter[Cell]) -> None:
        """Note that `body` was answered 200 for the first time; from now on the ledger must hold `cells`."""
        with self._lock:
            self.accepted.add(sha256(b"%d:" % self.key_id + body).digest())
            self.recent.append(body)
            self.cells.update(cells)

    def note(self, *, repeats: int = 0, retries: int = 0, refused: str = "") -> None:
        """Count what else happened."""
        with self._lock:
            self.repeats += repeats
            self.retries += retries
            if refused:
                self.refused[refused] += 1


class Client:
    """One connection that posts bodies with `key` and repeats them as a conforming client does."""

    def __init__(self, url: str, key: str, ledger: Ledger, luck: Random, give_up: threading.Event) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-protobuf"}
        self._ledger, self._luck, self._give_up = ledger, luck, give_up

    def deliver(self, body: bytes) -> bool:
        """Send `body` until it is accepted; False only where it was refused for good, or we were told to give up."""
        wait = FIRST_WAIT
        while not self._give_up.is_set():
            status, retry_after = self._post(body)
            if status == 200:
                return True
            if status and status not in RETRYABLE:
                self._ledger.note(refused=str(status))
                return False
            self._ledger.note(retries=1)
            time.sleep(min(retry_after or wait * self._luck.uniform(0.5, 1.5), 5))
            wait = min(wait * 2, LONGEST_WAIT)
        return False

    def _post(self, body: bytes) -> tuple[int, float]:
        """Send once; return the status (0: no answer) and the seconds the server asks to wait."""
        headers = dict(self._headers)
        if self._luck.random() < 0.5:
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        try:
            self._connection.request("POST", "/v1/metrics", body, headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, 0.0
        return response.status, float(response.headers.get("Retry-After") or 0)


def run_deltas(connect: Callable[[Random], Client], ledger: Ledger, seed: int, stopping: threading.Event) -> None:
    """Post delta batches of some 20 points, a few a second, until `stopping`."""
    luck = Random(seed)
    client, other = connect(luck), connect(Random(seed + 1))
    with ThreadPoolExecutor(1) as beside:
        while not stopping.is_set():
            late = luck.choice(_PAST) if luck.random() < LATE else 0
            told_at = time.time_ns() - late * 10**9
            cells = Counter({_cell(luck, told_at): luck.randrange(1, 9) for _ in range(20)})
            body = _body(DELTA, cells, (told_at - 10**9, told_at), luck)
            twin = beside.submit(other.deliver, body) if luck.random() < TWICE else None
            accepted = client.deliver(body)
            if twin:
                accepted = twin.result() or accepted
                ledger.note(repeats=1)
            if accepted:
                ledger.accept(body, cells)
            if luck.random() < AGAIN and ledger.recent:
                ledger.note(repeats=1)
                client.deliver(luck.choice(list(ledger.recent)))
            stopping.wait(luck.uniform(0.02, 0.2))


def run_cumulative(connect: Callable[[Random], Client], ledger: Ledger, seed: int, stopping: threading.Event) -> None:
    """Post the counters of one process's streams since its start, which grow, until `stopping`."""
    luck = Random(seed)
    client = connect(luck)
    start, instance = time.time_ns(), luck.getrandbits(128)
    sums: Counter[Cell] = Counter()
    told: Counter[Cell] = Counter()
    while not stopping.is_set():
        now = time.time_ns()
        sums.update({_cell(luck, 0): luck.randrange(1, 9) for _ in range(10)})
        body = _body(CUMULATIVE, sums, (start, now), luck, instance)
        if client.deliver(body):
            grown = {(_day(now), *rest): calls for (_, *rest), calls in (sums - told).items()}
            ledger.accept(body, Counter(grown))  # type: ignore[arg-type]
            told = sums.copy()
        stopping.wait(luck.uniform(0.1, 0.5))


def _cell(luck: Random, at: int) -> Cell:
    return _day(at), luck.choice(_ROUTES), luck.choice(_STATUSES), luck.choice(_USERS)


def _day(at: int) -> str:
    """Return the day that a point of `at` (nanoseconds since 1970) counts in: the end of a minute is its own."""
    return f"{datetime.fromtimestamp((at - 1) // (60 * 10**9) * 60, UTC):%Y-%m-%d}"


def _body(
    temporality: int, cells: Counter[Cell], times: tuple[int, int], luck: Random, instance: int | None = None
) -> bytes:
    """Return a request with a point for each cell; `times` are the start and the time of each, in nanoseconds."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    _say(resource, "service.name", SERVICE)
    # An instance of its own for each: two batches with equal counts in the same nanosecond are two batches.
    _say(resource, "service.instance.id", str(UUID(int=instance or luck.getrandbits(128))))
    metric = resource.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    metric.exponential_histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    start, now = times
    for (_, route, status, user), calls in cells.items():
        point = metric.exponential_histogram.data_points.add(
            start_time_unix_nano=start, time_unix_nano=now, count=calls, sum=calls * 0.02, scale=4
        )
        point.positive.offset = -91
        point.positive.bucket_counts.append(calls)
        _describe(point, route, status, user)
    return request.SerializeToString()


def _say(resource: ResourceMetrics, key: str, value: str) -> None:
    resource.resource.attributes.add(key=key).value.string_value = value


def _describe(point: ExponentialHistogramDataPoint, route: str, status: int, user: str) -> None:
    texts = {"http.request.method": "GET", "http.route": route, "trackside.user": user, "trackside.account": user[:7]}
    for key, text in texts.items():
        point.attributes.add(key=key).value.string_value = text
    point.attributes.add(key="http.response.status_code").value.int_value = status
