"""Trackside's own figures for Prometheus: requests by route template, the lane, the pool, what modules contribute.

Labels come from our code only (route templates, methods, statuses), so that no caller can make series or leak a name.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import structlog
from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from trackside.module import resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that a module contributes (`Module.gauges`), read when it is asked for."""

    name: str
    """`<module>_<what>_<unit>`; Prometheus sees `trackside_` before it."""
    help: str
    value: float
    behind: bool = False
    """Whether it is bad enough that /readyz says so."""


class Metrics:
    """The figures of one process."""

    def __init__(self, runtime: Runtime) -> None:
        """Start counting from zero, in a registry of our own."""
        self._runtime = runtime
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "trackside_http_requests",
            "Requests to pages and API",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "trackside_http_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )
        # a Counter takes a lock for each: too dear for a route that takes a microsecond
        self._lane: dict[str, defaultdict[str, count[int]]] = {}
        self.registry.register(_Lane(self._lane))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(_OnDemand(runtime))

    def page(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer of Flask's."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def lane(self, route: str) -> Mapping[str, "count[int]"]:
        """Return what counts the answers of a lane's route by their status lines, such as `200 OK`: by `next`.

        That is one step of the interpreter, so that no thread's is lost.
        """
        return self._lane.setdefault(route, defaultdict(count))

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Lane:
    """Answers of the lane by route and status."""

    def __init__(self, numbers: Mapping[str, Mapping[str, "count[int]"]]) -> None:
        self._numbers = numbers

    def describe(self) -> Iterable[Metric]:
        """Return nothing: there are no names before there are answers."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield how many there were."""
        family = CounterMetricFamily("trackside_lane_requests", "Requests to hot routes", labels=["route", "status"])
        for route, counted in self._numbers.items():
            found: dict[str, int] = {}
            for line, numbers in list(counted.items()):
                # `count(3)`: nothing else tells where a counter stands without moving it
                found[line[:3]] = found.get(line[:3], 0) + int(repr(numbers)[6:-1])
            for status, number in found.items():
                family.add_metric([route, status], number)
        yield family


class _OnDemand:
    """What is read when Prometheus asks: the pool and the modules' gauges."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Return nothing: asking for names must not open a connection."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of this moment."""
        pool = self._runtime.database.engine.pool
        if isinstance(pool, QueuePool):
            yield _gauge("database_pool_used", "Connections at work in this process", pool.checkedout())
            yield _gauge("database_pool_size", "Connections that the pool keeps", pool.size())
        try:
            gauges, up = contributed(self._runtime), 1
        except SQLAlchemyError:
            gauges, up = [], 0
        yield _gauge("database_up", "Whether PostgreSQL answers", up)
        for each in gauges:
            yield _gauge(each.name, each.help, each.value)


def contributed(runtime: Runtime) -> list[Gauge]:
    """Return the modules' gauges; raises SQLAlchemyError where the database is away."""
    found: list[Gauge] = []
    with runtime.database.session() as session:
        session.connection()
        for module in runtime.registry.modules:
            if module.gauges is None:
                continue
            try:
                with session.begin_nested():
                    found += resolve(module.gauges)(runtime, session)
            except SQLAlchemyError:
                raise
            except Exception:
                # one module's figure must not take the others with it
                log.exception("metrics.module_failed", module=module.name)
    return found


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trackside_{name}", about, value=value)
