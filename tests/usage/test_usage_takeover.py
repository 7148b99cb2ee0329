"""Spans and metrics of one service, as SDKs send them: every call counts once, whichever begins, ends or comes late."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold

NANO = 10**9
RUN = 300
"""Seconds that a process of the service runs."""


class Simulated:
    """A service restarted now and then: what its SDK would have sent, as `(second of arrival, path, body)`."""

    def __init__(self, export: Callable[..., Any], begin: int, rng: random.Random, temporality: int) -> None:
        self._export, self._begin, self._rng, self._temporality = export, begin, rng, temporality
        self.sent: list[tuple[float, str, bytes]] = []
        self.calls = 0

    def run(self, start: int, *, metrics: bool) -> None:
        """Let a process run from `start` (seconds): spans every 5 s, metrics every 60 s where it has them."""
        ends = sorted(start + 1 + self._rng.random() * (RUN - 2) for _ in range(self._rng.randrange(5, 60)))
        self.calls += len(ends)
        for at in range(start + 5, start + RUN + 1, 5):
            batch = [end for end in ends if at - 5 < end <= at]
            if batch:
                self._send(at, "/v1/traces", self._spans(batch))
        if metrics:
            for at in range(start + 60, start + RUN + 1, 60):
                since = start if self._temporality == 2 else at - 60
                told = [end for end in ends if since < end <= at]
                # a stream begins with its first call, a moment after that call has ended
                first = self._at(ends[0]) + 20_000 if self._temporality == 2 else self._at(since)
                if told:
                    point = {"start_time_unix_nano": first, "time_unix_nano": self._at(at), "counts": [0, len(told), 0]}
                    body = self._export(point, temporality=self._temporality).SerializeToString()
                    self._send(at, "/v1/metrics", body)

    def _send(self, at: float, path: str, body: bytes) -> None:
        self.sent.append((at + self._rng.choice([0.05, 0.3, 4.0]), path, body))

    def _at(self, second: float) -> int:
        return self._begin + round(second * 1000) * 1_000_000

    def _spans(self, ends: list[float]) -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "shop"
        scope = resource.scope_spans.add()
        for end in ends:
            span = scope.spans.add(kind=2, start_time_unix_nano=self._at(end) - 1000, end_time_unix_nano=self._at(end))
            span.attributes.add(key="http.request.method").value.string_value = "GET"
        return request.SerializeToString()


@pytest.mark.parametrize("temporality", [1, 2])
@pytest.mark.parametrize(
    "runs", [[True, True], [False, False], [False, True], [True, False], [False, True, False]], ids=str
)
def test_every_call_counts_once_through_restarts_with_and_without_metrics(
    runtime: Runtime,
    clock: FrozenClock,
    post: Callable[..., Any],
    export: Callable[..., Any],
    now_ns: int,
    runs: list[bool],
    temporality: int,
) -> None:
    rng = random.Random(f"{runs}{temporality}")
    service = Simulated(export, now_ns, rng, temporality)
    for number, metrics in enumerate(runs):
        service.run(number * (RUN + 20), metrics=metrics)
    begin = clock.now()
    for second, path, body in sorted(service.sent):
        clock.advance(begin + timedelta(seconds=second) - clock.now())
        assert post(body, path=path).status == "200 OK"
        if rng.random() < 0.5:
            fold.run(runtime, 1)
    clock.advance(timedelta(hours=2))
    fold.run(runtime, 1)
    with runtime.database.pool.connection() as connection:
        assert connection.execute("select sum(calls)::int from usage_minute").fetchone() == (service.calls,)
        assert connection.execute("select count(*) from usage_held").fetchone() == (0,)
