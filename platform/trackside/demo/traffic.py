"""The traffic: who calls what and when, drawn from a seed, and the threads that call it over real HTTP."""

import http.client
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from urllib.parse import urlsplit

from trackside.demo.count import Count
from trackside.demo.people import callers, token
from trackside.demo.story import busyness

CALLERS = 4
CALM, SWELL, PERIOD = 12.0, 5.0, 180.0
"""Requests a second on average, how far that swings, and in how many seconds."""
STRANGER = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to make: `route` is the template it matches, "" where it matches none; `path` what is asked for."""

    wait: float
    """Seconds after the call before."""
    method: str
    route: str
    path: str
    user: str
    """External id, or `STRANGER` for a key that nobody knows."""


_ENDPOINTS: tuple[tuple[str, str, float], ...] = (
    ("GET", "/v1/tracking/<code>", 38),
    ("GET", "/v1/rates", 24),
    ("POST", "/v1/shipments", 12),
    ("GET", "/v1/shipments/<shipment_id>", 9),
    ("POST", "/v1/addresses/validate", 7),
    ("GET", "/v1/shipments", 4),
    ("POST", "/v1/labels", 3),
    ("DELETE", "/v1/webhooks/<int:webhook_id>", 1),
    ("GET", "", 1.5),
)
_PLACEHOLDERS = ("<code>", "<shipment_id>", "<int:webhook_id>")


def plan(seed: int) -> Iterator[Call]:
    """Yield the calls to make, for ever; the same ones for the same `seed`."""
    luck = Random(seed)  # noqa: S311 - a demo's luck guards nothing
    everyone = callers()
    by_person = list(accumulate(person.weight for person in everyone))
    by_endpoint = list(accumulate(weight for *_, weight in _ENDPOINTS))
    at = 0.0
    while True:
        rate = CALM + SWELL * math.sin(2 * math.pi * at / PERIOD)
        wait = luck.expovariate(rate)
        at += wait
        person = luck.choices(everyone, cum_weights=by_person)[0]
        method, route, _ = luck.choices(_ENDPOINTS, cum_weights=by_endpoint)[0]
        path = route or "/v0/quotes"
        for placeholder in _PLACEHOLDERS:
            path = path.replace(placeholder, str(luck.randrange(10_000, 100_000)))
        user = STRANGER if luck.random() < 0.008 else person.external_id
        yield Call(wait, method, route, path, user)


class Traffic:
    """Makes the calls of `plan(seed)` to the API at `url`, and counts each that was answered."""

    def __init__(self, url: str, count: Count, *, seed: int = 1) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port
        self._count = count
        self._seed = seed
        self._stopping = threading.Event()
        self._connections = threading.local()
        self._thread = threading.Thread(target=self._run, name="demo-traffic", daemon=True)

    def start(self) -> None:
        """Begin to call."""
        self._thread.start()

    def stop(self) -> None:
        """Make no more calls, and wait for the answers of those under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        # A caller that waits for a slow label must not hold up the others, and nobody queues up behind it for long.
        free = threading.Semaphore(CALLERS)
        with ThreadPoolExecutor(CALLERS, thread_name_prefix="demo-caller") as pool:
            for call in plan(self._seed):
                if self._stopping.wait(call.wait / busyness(datetime.now(UTC))):
                    return
                free.acquire()
                pool.submit(self._make, call).add_done_callback(lambda _: free.release())

    def _make(self, call: Call) -> None:
        connection = self._connection()
        key = token(call.user) if call.user else "demo_nobody"
        try:
            connection.request(call.method, call.path, headers={"Authorization": f"Bearer {key}"})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # not answered, so not counted; the next request opens it again
            return
        self._count.add(f"{call.method} {call.route or '(unmatched)'}", response.status, call.user)

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._connections, "mine"):
            self._connections.mine = http.client.HTTPConnection(self._host, self._port, timeout=10)
        mine: http.client.HTTPConnection = self._connections.mine
        return mine
