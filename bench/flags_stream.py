"""How fast a toggle reaches open streams, what idle ones cost, and what a restart of all clients does.

    python bench/flags_stream.py [--toggles 20] [--streams 1000] [--idle 10000] [--clients 5000]

It starts PostgreSQL, Valkey, `trackside web` and `trackside stream` of its own on 127.0.0.1, and then:

    toggle     `--streams` clients listen; a flag is switched, and each client notes when it hears of it: p50, p99
    idle       `--idle` streams on the one process: its memory before and with them
    restart    `--clients` ask for the ruleset at once, with the ETag they had: how many 304s, how long the last one
               waited, and how many more queries PostgreSQL saw than while nobody asked

The listener is one epoll loop in this process; it notes times as it reads, so its own work is part of what it tells.
"""

import argparse
import resource
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import servers
from flags_http import prepare

from trackside.testing.running import free_port

MARK = b"refetchEvaluation"


class Crowd:
    """Many connections that listen, in one epoll."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        head = "GET /v1/flags/stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        self._request = f"{head}X-API-Key: {key}\r\n\r\n".encode()
        self._ready = selectors.EpollSelector()
        self._sockets: list[socket.socket] = []

    def grow(self, to: int) -> None:
        """Open streams until there are so many, each greeted."""
        while len(self._sockets) < to:
            fresh = []
            for _ in range(min(200, to - len(self._sockets))):
                # more than one address: a pair of addresses has 28,000 ports
                connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
                connection.sendall(self._request)
                self._ready.register(connection, selectors.EVENT_READ)
                fresh.append(connection)
            self._sockets += fresh
            self.hear(lambda: None, len(fresh))

    def hear(self, begin: Callable[[], Any], wanted: int, patience: float = 30) -> list[float]:
        """Do `begin`, and return after how many seconds each of `wanted` streams heard of a change, in order."""
        began = time.perf_counter()
        begin()
        told: dict[int, float] = {}
        while len(told) < wanted and time.perf_counter() - began < patience:
            for selected, _ in self._ready.select(1):
                if MARK in selected.fileobj.recv(65536):  # type: ignore[union-attr]
                    told.setdefault(selected.fd, time.perf_counter() - began)
        if len(told) < wanted:
            raise RuntimeError(f"{len(told)} of {wanted} streams heard of it within {patience:g} s")
        return sorted(told.values())

    def close(self) -> None:
        """Hang up."""
        for connection in self._sockets:
            connection.close()


@contextmanager
def trackside(folder: Path) -> Iterator[tuple[dict[str, str], dict[str, int], dict[str, int], str]]:
    """Run all of it; give the settings, ports and worker processes of web and stream, and a server key."""
    with ExitStack() as stack:
        web = free_port()
        ports = {"web": web, "stream": web + 1}
        given = stack.enter_context(servers.stores(folder))
        given["TRACKSIDE_BASE_URL"] = f"http://127.0.0.1:{web}"
        key = prepare(given)
        workers = {}
        for name, port in ports.items():
            command = ["-m", "trackside", name, "--port", str(port)]
            process = stack.enter_context(servers.started(command, given))
            servers.await_port(port)
            workers[name] = servers.worker_of(process)
        yield given, ports, workers, key


def memory_of(process: int) -> float:
    """Return the megabytes that a process has in memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the process is gone")


def toggle(given: dict[str, str], port: int, worker: int, key: str, streams: int, times: int) -> None:
    """Print how fast a toggle reaches `streams` streams, from its commit, and what CPU that takes."""
    from trackside.auth.audit import COMMAND_LINE
    from trackside.runtime import build_runtime
    from trackside.settings import load_settings
    from trackside_modules.flags import service

    runtime, crowd = build_runtime(load_settings(given)), Crowd(port, key)
    crowd.grow(streams)
    delays: list[float] = []
    slowest: list[float] = []
    spent = servers.cpu_of(worker)
    for number in range(times):
        committed = 0.0

        def switch(on: bool = bool(number % 2)) -> None:
            nonlocal committed
            began = time.perf_counter()
            with runtime.database.session() as session:
                now = runtime.clock.now()
                service.change(session, 1, "flag-7", {"enabled": on}, who=COMMAND_LINE, now=now, reason="bench")
            committed = time.perf_counter() - began

        heard = crowd.hear(switch, streams)
        delays += [max(0.0, each - committed) for each in heard]
        slowest.append(heard[-1] - committed)
        time.sleep(0.1)
    spent = (servers.cpu_of(worker) - spent) / times
    crowd.close()
    runtime.close()
    ranked = sorted(delays)
    p50, p99 = statistics.median(ranked), ranked[int(len(ranked) * 0.99) - 1]
    print(f"toggle   {streams:,} streams, {times} toggles: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms", end="")
    print(f", the slowest of each at most {max(slowest) * 1e3:.0f} ms", end="")
    print(f", {spent * 1e3:.0f} ms of the process's CPU each   (aim: p99 100 ms)")


def idle(port: int, worker: int, key: str, streams: int) -> None:
    """Print what so many idle streams cost."""
    before = memory_of(worker)
    crowd = Crowd(port, key)
    began = time.perf_counter()
    crowd.grow(streams)
    opened = time.perf_counter() - began
    time.sleep(1)
    after = memory_of(worker)
    spent = servers.cpu_of(worker)
    time.sleep(3)
    share = (servers.cpu_of(worker) - spent) / 3
    crowd.close()
    each = (after - before) * 1024 / streams
    print(f"idle     {streams:,} streams: {after:.0f} MB, {each:.1f} KB each, {share:.0%} of a core", end="")
    print(f"; opened in {opened:.0f} s   (aim: 300 MB)")


def restart(given: dict[str, str], port: int, key: str, clients: int) -> None:
    """Print what came of so many clients who ask at once."""
    etag = _ask(port, key, "")[1]
    database = given["DATABASE_URL"].replace("+psycopg", "")
    quiet = _statements(database, lambda: time.sleep(3))
    request = _request(key, etag)
    waiting: dict[int, socket.socket] = {}
    found = {"304": 0, "200": 0, "other": 0}
    took: list[float] = []

    def ask_all() -> None:
        ready = selectors.EpollSelector()
        began = time.perf_counter()
        for _ in range(clients):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            ready.register(connection, selectors.EVENT_WRITE)
            waiting[connection.fileno()] = connection
        while waiting and time.perf_counter() - began < 30:
            for selected, _ in ready.select(1):
                _step(ready, selected, request, waiting, found, took, began)
        print(f"restart  {clients:,} clients, all answered after {time.perf_counter() - began:.1f} s", end="")

    busy = _statements(database, ask_all)
    share = found["304"] / clients
    took.sort()
    print(f": {share:.1%} of them 304 (aim 95 %), {found['other'] + len(waiting)} failed", end="")
    print(f", the 99th of 100 within {took[int(len(took) * 0.99) - 1]:.1f} s; ", end="")
    print(f"{busy:.1f} transactions/s in PostgreSQL, {quiet:.1f}/s while nobody asked")


def _request(key: str, etag: str) -> bytes:
    known = f"If-None-Match: {etag}\r\n" if etag else ""
    head = f"GET /v1/flags/ruleset HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {key}\r\n"
    return f"{head}{known}\r\n".encode()


def _step(ready: Any, selected: Any, request: bytes, waiting: Any, found: Any, took: Any, began: float) -> None:
    connection = selected.fileobj
    try:
        if selected.events & selectors.EVENT_WRITE:
            connection.sendall(request)
            ready.modify(connection, selectors.EVENT_READ)
            return
        answer = connection.recv(65536)
        status = answer[9:12].decode()
    except OSError:
        status = "other"
    found[status if status in found else "other"] += 1
    took.append(time.perf_counter() - began)
    ready.unregister(connection)
    waiting.pop(connection.fileno())
    connection.close()


def _ask(port: int, key: str, etag: str) -> tuple[str, str]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_request(key, etag))
        answer = connection.recv(65536).decode(errors="replace")
    lines = answer.split("\r\n")
    found = next(line.partition(": ")[2] for line in lines if line.lower().startswith("etag:"))
    return lines[0], found


def _statements(database: str, during: Callable[[], Any]) -> float:
    """Return the transactions a second that PostgreSQL saw during something."""
    query = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
    with psycopg.connect(database, autocommit=True) as connection:

        def now() -> int:
            time.sleep(1.2)  # what backends count they tell once a second
            connection.execute("select pg_stat_clear_snapshot()")
            row = connection.execute(query).fetchone()
            assert row
            return int(row[0])

        before, began = now(), time.perf_counter()
        during()
        return (now() - before) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the stream of flags.")
    parser.add_argument("--toggles", type=int, default=20)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=5000)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with (
        tempfile.TemporaryDirectory(prefix="trackside-bench-") as folder,
        trackside(Path(folder)) as (given, ports, workers, key),
    ):
        idle(ports["stream"], workers["stream"], key, options.idle)
        time.sleep(2)
        toggle(given, ports["stream"], workers["stream"], key, options.streams, options.toggles)
        restart(given, ports["web"], key, options.clients)


if __name__ == "__main__":
    main()
