"""What ingest costs: durable events a second and core, beside what reading them and PostgreSQL's COPY alone take.

    python bench/ingest.py [--rounds 3] [--seconds 3]

One `trackside web` worker (as in production: granian, 8 threads), one fold, one PostgreSQL and one Valkey of its own,
all on this machine; 127.0.0.1 only; it stops by itself. Accepted means committed: the answer is awaited, synchronous
commit is on. The generator sends prebuilt bodies under new batch ids over keep-alive sockets, and holds back while more
than `MOST_WAITING` batches wait for the fold, so the rate is one that the whole of it keeps up with.

2,000 users, each as likely as any other (the hardest for the fold: hardly two events of a batch share a row), 20
routes, 6 statuses. Cases alternate; medians of the rounds are printed:

    events/s       accepted, by the clock (web, fold, PostgreSQL and generator share this machine's cores)
    per core       accepted events by the CPU seconds of the web process
    us an event    CPU time of web, PostgreSQL and fold, until all of it is counted
    waiting        batches in the inbox at the start, at most, and at the end of the sending
"""

import argparse
import os
import random
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import servers

from trackside.testing.running import free_port

CONNECTIONS = 4
MOST_WAITING = 400
MOST_SECONDS = 150
MARK = b"batch-id-of-ingest-bench-000000000000"
USERS, ROUTES, BODIES = 2000, 20, 24
STATUSES, WEIGHTS = (200, 201, 204, 304, 404, 500), (80, 6, 4, 4, 4, 2)


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Return events of the last few seconds."""
    dice, now = random.Random(seed), int(time.time() * 1000)
    return [
        {
            "ts": now - dice.randrange(3000),
            "method": dice.choice(("GET", "GET", "GET", "POST")),
            "route": f"/v1/things{dice.randrange(ROUTES)}/{{id}}",
            "status": dice.choices(STATUSES, WEIGHTS)[0],
            "duration_ms": round(dice.lognormvariate(3, 1), 3),
            "user": f"user-{dice.randrange(USERS):05}",
            "service": "bench",
        }
        for _ in range(count)
    ]


def events_body(size: int, seed: int) -> bytes:
    """Return a batch of events as JSON."""
    return msgspec.json.encode({"batch_id": MARK.decode(), "events": rows(size, seed)})


def otlp_body(size: int, seed: int) -> bytes:
    """Return a request of delta histogram points as protobuf."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "bench"
    resource.resource.attributes.add(key="service.instance.id").value.string_value = MARK.decode()
    metric: Any = resource.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    metric.exponential_histogram.aggregation_temporality = 1
    for row in rows(size, seed):
        point = metric.exponential_histogram.data_points.add(
            time_unix_nano=row["ts"] * 1_000_000, count=3, sum=0.1, scale=4
        )
        point.positive.offset = -70
        point.positive.bucket_counts.extend((1, 1, 1))
        for key, value in (("http.route", row["route"]), ("trackside.user", row["user"])):
            point.attributes.add(key=key).value.string_value = value
        point.attributes.add(key="http.response.status_code").value.int_value = row["status"]
    body: bytes = request.SerializeToString()
    return body


@dataclass(frozen=True)
class Case:
    """What is sent: to where, how many events or points a request, and its bodies."""

    name: str
    path: str
    media: str
    size: int
    make: Callable[[int, int], bytes]

    def requests(self, key: str) -> list[bytes]:
        """Return whole HTTP requests, the mark in them still to be replaced."""
        bodies = [self.make(self.size, seed) for seed in range(BODIES)]
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: {self.media}\r\n"
        return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


CASES = (
    *(Case(f"events, {n:,} a batch", "/v1/events", "application/json", n, events_body) for n in (1, 100, 1000)),
    Case("OTLP points, 1,000", "/v1/metrics", "application/x-protobuf", 1000, otlp_body),
)


@dataclass(frozen=True)
class Found:
    """What one round of one case found; CPU times in seconds."""

    events: int
    seconds: float
    web: float
    postgres: float
    fold: float
    waiting: tuple[int, int, int]
    busy: float


class Bench:
    """The running servers, and what they have used."""

    def __init__(self, port: int, key: str, url: str, pids: dict[str, int]) -> None:
        self.port, self.key, self.pids = port, key, pids
        self.database = psycopg.connect(url, autocommit=True)
        self._number = 0

    def waiting(self) -> int:
        """Return how many batches wait for the fold."""
        row = self.database.execute("select count(*) from usage_inbox where applied_at is null").fetchone()
        return row[0] if row else 0

    def run(self, case: Case, seconds: float) -> Found:
        """Send for so long, then wait until all is counted."""
        requests = case.requests(self.key)
        start = self.waiting()
        before = {name: cpu(pid) for name, pid in self.pids.items()}
        sent, spent, most, busy = self._send(requests, seconds)
        end, web = self.waiting(), cpu(self.pids["web"]) - before["web"]
        limit = time.monotonic() + 30
        while self.waiting() and time.monotonic() < limit:
            time.sleep(0.1)
        used = {name: cpu(self.pids[name]) - before[name] for name in ("postgres", "fold")}
        return Found(sent * case.size, spent, web, used["postgres"], used["fold"], (start, max(most, end), end), busy)

    def _send(self, requests: list[bytes], seconds: float) -> tuple[int, float, int, float]:
        accepted = most = 0
        with selectors.DefaultSelector() as ready, ExitStack() as stack:
            idle = [
                stack.enter_context(socket.create_connection(("127.0.0.1", self.port), 10)) for _ in range(CONNECTIONS)
            ]
            sockets = {connection.fileno(): connection for connection in idle}
            for connection in idle:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(connection, selectors.EVENT_READ)
            began, worked = time.perf_counter(), time.process_time()
            looked = held = open_ = 0.0
            while (now := time.perf_counter() - began) < seconds or open_:
                if now - looked > 0.2:
                    looked, held = now, self.waiting()
                    most = max(most, int(held))
                if now < seconds and held <= MOST_WAITING:
                    for connection in idle:
                        self._number += 1
                        request = requests[self._number % len(requests)]
                        connection.sendall(request.replace(MARK, b"%037d" % self._number))
                    open_, idle = open_ + len(idle), []
                for selected, _ in ready.select(0.05):
                    connection = sockets[selected.fd]
                    answer = connection.recv(65536)
                    if not answer.startswith((b"HTTP/1.1 202", b"HTTP/1.1 200")):
                        raise RuntimeError(answer[:300].decode(errors="replace"))
                    accepted, open_ = accepted + 1, open_ - 1
                    idle.append(connection)
            spent = time.perf_counter() - began
            return accepted, spent, most, (time.process_time() - worked) / spent


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process and all below it, those that ended included."""
    parents: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            used[int(entry.name)] = sum(map(int, fields[11:15]))
    todo, total = [pid], 0
    while todo:
        each = todo.pop()
        total += used.get(each, 0)
        todo += parents.get(each, [])
    return total / os.sysconf("SC_CLK_TCK")


def decode_only(size: int = 1000) -> float:
    """Return how many events a second and core are read from JSON into structs, nothing else."""
    from trackside_modules.usage.ingest.events.form import Event

    class Whole(msgspec.Struct):
        batch_id: str
        events: list[Event]

    bodies, decoder = [events_body(size, seed) for seed in range(8)], msgspec.json.Decoder(Whole)
    began, done = time.process_time(), 0
    while time.process_time() - began < 0.5:
        for body in bodies:
            decoder.decode(body)
        done += len(bodies) * size
    return done / (time.process_time() - began)


def copy_only(bench: Bench, size: int = 1000) -> tuple[float, float]:
    """Return events a second by the clock and by PostgreSQL's CPU when each is copied into a table, 1,000 a commit."""
    made = [
        [(datetime.fromtimestamp(it["ts"] / 1000, UTC), *list(it.values())[1:]) for it in rows(size, seed)]
        for seed in range(8)
    ]
    database = bench.database
    database.execute("drop table if exists bench_copy")
    database.execute(
        "create table bench_copy (ts timestamptz, method text, route text, status int, ms float8, u text, s text)"
    )
    began, used, done = time.perf_counter(), cpu(bench.pids["postgres"]), 0
    while time.perf_counter() - began < 1.5:
        with database.cursor() as cursor, cursor.copy("copy bench_copy from stdin") as copy:
            for row in made[done // size % len(made)]:
                copy.write_row(row)
        done += size
    spent, used = time.perf_counter() - began, cpu(bench.pids["postgres"]) - used
    database.execute("drop table bench_copy")
    return done / spent, done / max(used, 1e-9)


def fold() -> None:
    """Be the fold's worker."""
    from trackside.runtime import build_runtime
    from trackside.settings import load_settings
    from trackside_modules.usage import jobs

    runtime = build_runtime(load_settings())
    while True:
        jobs.fold(runtime)


@contextmanager
def running() -> Iterator[Bench]:
    """Run the servers, and give what measures them."""
    from trackside.db import psycopg_url

    with tempfile.TemporaryDirectory(prefix="trackside-bench-") as folder, ExitStack() as stack:
        given = stack.enter_context(servers.stores(Path(folder), durable=True))
        key, port = servers.seeded(given, "ingest"), free_port()
        pids = {}
        for name, options in {"web": ("--serve", str(port)), "fold": ("--fold",)}.items():
            pids[name] = stack.enter_context(servers.started([__file__, *options], given))
        servers.await_port(port)
        url = psycopg_url(given["DATABASE_URL"])
        pids["postgres"] = int(next(Path(folder).rglob("postmaster.pid")).read_text().split()[0])
        bench = Bench(port, key, url, pids)
        stack.callback(bench.database.close)
        yield bench


def show(found: dict[str, list[Found]]) -> None:
    """Print the medians."""

    def middle(rounds: list[Found], of: Callable[[Found], float]) -> float:
        return statistics.median(map(of, rounds))

    print(f"{'':<22}{'events/s':>10}{'per core':>10}{'web':>9}{'postgres':>10}{'fold':>8}  us an event   waiting")
    for name, rounds in found.items():
        rate = middle(rounds, lambda it: it.events / it.seconds)
        core = middle(rounds, lambda it: it.events / it.web)
        costs = [
            statistics.median(1e6 * used / it.events for it, used in zip(rounds, column, strict=True))
            for column in zip(*((it.web, it.postgres, it.fold) for it in rounds), strict=True)
        ]
        most = max(it.waiting[1] for it in rounds)
        waiting = f"{rounds[-1].waiting[0]} / {most} / {rounds[-1].waiting[2]}"
        busy = middle(rounds, lambda it: it.busy)
        print(
            f"{name:<22}{rate:>10,.0f}{core:>10,.0f}{costs[0]:>9.2f}{costs[1]:>10.2f}{costs[2]:>8.2f}"
            f"{waiting:>24}   generator busy {busy:.0%}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure durable ingest beside its limits.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", help="the cases whose name has this in it")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        from trackside.serve import build

        return servers.serve(build, options.serve)
    if options.fold:
        return fold()
    cases = [case for case in CASES if not options.only or options.only in case.name]
    if options.rounds * len(cases) * options.seconds > MOST_SECONDS:
        parser.error(f"that takes longer than {MOST_SECONDS} s")
    found: dict[str, list[Found]] = {case.name: [] for case in cases}
    decoded, copied = [], []
    with running() as bench:
        for case in cases:
            bench.run(case, 0.5)
        for _ in range(options.rounds):
            decoded.append(decode_only())
            copied.append(copy_only(bench))
            for case in cases:
                found[case.name].append(bench.run(case, options.seconds))
    print(f"{options.rounds} rounds of {options.seconds:g} s, {CONNECTIONS} connections, {os.cpu_count()} cores")
    show(found)
    print(f"{'JSON to structs only':<22}{'':>10}{statistics.median(decoded):>10,.0f}")
    clock, core = (statistics.median(column) for column in zip(*copied, strict=True))
    print(f"{'COPY only':<22}{clock:>10,.0f}{core:>10,.0f}   (of PostgreSQL)")
    return None


if __name__ == "__main__":
    main()
