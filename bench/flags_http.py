"""What a flag check over HTTP costs: one flag and all 50, beside nothing at all and the same code behind Flask.

    python bench/flags_http.py [--rounds 15] [--seconds 0.2]

Servers as `trackside web` sets granian up, pinned to one core, asked by the generator of bench/lane.py from another:

    null       a callable that answers 2 bytes
    one        one flag of 50 by OFREP in the lane: key, context, evaluation (25 % of two plans), exposure
    null read  the null callable, reading the body that these requests have
    null whole the same, answering as many bytes as all flags are
    all        all 50 of them
    flask      one flag, by the same code behind a Flask route of the real app
    null busy, one busy, all busy     the same while 8 connections ask the same process for pages that take 50 ms

Short turns alternate, and a ratio or a difference is the median of those within each round, with the least and the most
of them: what else the machine does meanwhile slows both. The same is told of the server's CPU a request, in which a
busy machine shows less. Each request is answered as its repetition is: "one" is asked for 200 users in turn.
Servers are throw-away, 127.0.0.1 only, and it stops by itself.
"""

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import lane as base
import servers

from trackside.places import server_threads
from trackside.testing.running import free_port

FLAGS = 50
PAGE_SECONDS = 0.05
PAGES = 8
MOST_SECONDS = 110
USERS = 200
BODIES = [
    b'{"context":{"targetingKey":"u_%d","account":"acme","plan":"pro"}}' % number for number in range(100, 100 + USERS)
]
BODY = BODIES[0]
WHOLE = b"ok" * 2100
"""As long as the answer with all flags."""
KINDS = ("null", "real")
ALL = "/ofrep/v1/evaluate/flags"
ROWS = {
    "null": ("null", "/null", False),
    "null read": ("null", "/read", False),
    "null whole": ("null", "/whole", False),
    "one": ("real", f"{ALL}/flag-7", False),
    "all": ("real", ALL, False),
    "flask": ("real", "/flask/flag-7", False),
    "null busy": ("null", "/null", True),
    "one busy": ("real", f"{ALL}/flag-7", True),
    "all busy": ("real", ALL, True),
}

RATIOS = (("one", "null", "0.60"), ("one", "null read", ""), ("one", "flask", "3"), ("one busy", "null busy", ""))


def null(environ: Any, start_response: Any) -> list[bytes]:
    """Answer two bytes, and nothing else; or a slow page."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(PAGE_SECONDS)
    elif environ["PATH_INFO"] == "/read":
        environ["wsgi.input"].read(len(BODY))
    elif environ["PATH_INFO"] == "/whole":
        environ["wsgi.input"].read(len(BODY))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(WHOLE)))])
        return [WHOLE]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def load(kind: str) -> Any:
    """Return the callable of `kind`, in the server's process."""
    if kind == "null":
        return null
    from flask import Response, request

    from trackside import serve
    from trackside.app import create_app
    from trackside.auth import keyring
    from trackside.lane import LaneRequest
    from trackside.logs import configure_logging
    from trackside.pages import Pages
    from trackside.places import Places
    from trackside.process import settle
    from trackside.runtime import build_runtime
    from trackside.settings import load_settings
    from trackside.web.policy import Policy
    from trackside_modules.flags.serving import ofrep

    runtime = build_runtime(load_settings())
    configure_logging(runtime.settings)
    app = create_app(runtime.settings, runtime=runtime)
    ring, handle = keyring.build(runtime), ofrep.one(runtime)

    def flag(key: str) -> Response:
        principal = ring.authenticate(request.environ)
        answer = handle(LaneRequest(request.environ, ofrep.ONE + key, principal))
        return Response(answer.body, int(answer.status[:3]), list(answer.headers))

    def slow() -> Response:
        time.sleep(PAGE_SECONDS)
        return Response(b"ok")

    for path, view, methods in (("/flask/<path:key>", flag, ["POST"]), ("/slow", slow, ["GET", "POST"])):
        view.policy = Policy(public="measured only")  # type: ignore[attr-defined]
        app.add_url_rule(path, view_func=view, methods=methods)
        app.extensions["csrf"].exempt(view)
    ring.begin()
    places = Places(runtime.settings.web_threads)
    lane = serve.Lane(runtime, ring, Pages(app, places), places, count=app.extensions["trackside.metrics"].lane)
    settle()  # as `trackside web` does
    return lane


@dataclass(frozen=True)
class Asked:
    """What one round found."""

    rate: float
    busy: float
    cpu: float
    """Microseconds of the server's CPU a request."""


def ask(port: int, path: str, key: str, seconds: float, worker: int, connections: int = base.CONNECTIONS) -> Asked:
    """Ask over keep-alive connections, one request at a time on each; raises RuntimeError on any answer but 200."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(BODY)}\r\n\r\n"
    requests = cycle([head.encode() + body for body in BODIES])
    begun: dict[int, bytes] = {}
    count = 0
    with selectors.DefaultSelector() as ready, ExitStack() as stack:
        for _ in range(connections):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(connection, selectors.EVENT_READ)
            connection.sendall(next(requests))
        began, worked, spent_there = time.perf_counter(), time.process_time(), servers.cpu_of(worker)
        while time.perf_counter() - began < seconds:
            for selected, _ in ready.select(5):
                connection = selected.fileobj  # type: ignore[assignment]
                answer = begun.pop(selected.fd, b"") + connection.recv(65536)
                if not _is_whole(answer):
                    begun[selected.fd] = answer
                    continue
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"{path}: {answer[:300].decode(errors='replace')}")
                count += 1
                connection.sendall(next(requests))
        spent = time.perf_counter() - began
        cpu = (servers.cpu_of(worker) - spent_there) / max(count, 1) * 1e6
        return Asked(count / spent, (time.process_time() - worked) / spent, cpu)


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer.find(b"content-length: ", 0, end)
    if at < 0:
        return answer.endswith((b"}", b"ok"))
    return len(answer) - end - 4 >= int(answer[at + 16 : answer.index(b"\r", at)])


@contextmanager
def running(core: int | None) -> Iterator[tuple[dict[str, int], dict[str, int], str]]:
    """Run both servers on `core`; give their ports, their workers' process ids and a key."""
    with ExitStack() as stack:
        given = stack.enter_context(servers.stores())
        key = prepare(given)
        ports = {kind: free_port() for kind in KINDS}
        pids = {
            kind: stack.enter_context(servers.started([__file__, "--serve", kind, "--port", str(port)], given, core))
            for kind, port in ports.items()
        }
        for port in ports.values():
            servers.await_port(port)
        yield ports, {kind: servers.worker_of(process) for kind, process in pids.items()}, key


def prepare(given: dict[str, str], flags: int = FLAGS) -> str:
    """Make a database with `flags` flags; return a server key."""
    rule = {"id": "r1", "name": "paying", "when": [{"attribute": "plan", "op": "in", "values": ["pro", "team"]}]}
    edit = {
        "enabled": True,
        "rules": [{**rule, "serve": {"rollout": 25_000, "split": [["on", 100_000]]}}],
        "serve": {"rollout": 0, "split": [["on", 100_000]]},
    }

    def fill(session: Any, env: Any, now: Any) -> None:
        from trackside.auth.audit import COMMAND_LINE
        from trackside_modules.flags import service

        for number in range(flags):
            service.create(session, f"flag-{number}", who=COMMAND_LINE, now=now)
            service.change(session, env.id, f"flag-{number}", edit, who=COMMAND_LINE, now=now, reason="bench")

    return servers.seeded(given, "server", fill)


@contextmanager
def pages(port: int, core: int | None) -> Iterator[None]:
    """Keep `PAGES` connections asking for slow pages, from a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, "--pages", "--port", str(port)])
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    time.sleep(0.3)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def ask_pages(port: int) -> None:
    """Ask for slow pages until killed."""
    with selectors.DefaultSelector() as ready:
        for _ in range(PAGES):
            connection = socket.create_connection(("127.0.0.1", port))
            ready.register(connection, selectors.EVENT_READ)
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        while True:
            for selected, _ in ready.select(5):
                selected.fileobj.recv(65536)  # type: ignore[union-attr]
                selected.fileobj.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")  # type: ignore[union-attr]


def measure(rounds: int, seconds: float) -> dict[str, list[Asked]]:
    """Return what was found of each row, once a round."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    mine, theirs = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    with running(theirs) as (ports, workers, key):
        if mine is not None:
            os.sched_setaffinity(0, {mine})
        found: dict[str, list[Asked]] = {row: [] for row in ROWS}
        for kind, path, _ in ROWS.values():
            ask(ports[kind], path, key, 0.3, workers[kind])
        for _ in range(rounds):
            for row, (kind, path, busy) in ROWS.items():
                with ExitStack() as stack:
                    if busy:
                        stack.enter_context(pages(ports[kind], mine))
                    found[row].append(ask(ports[kind], path, key, seconds, workers[kind]))
    print(f"server on core {theirs}, generator on core {mine}" if mine is not None else "not pinned: one core only")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure flags over HTTP beside a null callable and Flask.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--pages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        servers.serve(partial(load, options.serve), options.port, server_threads(8))
        return
    if options.pages:
        ask_pages(options.port)
        return
    if options.rounds * len(ROWS) * (options.seconds + 0.4) > MOST_SECONDS - 20:
        parser.error(f"that takes longer than {MOST_SECONDS} s")
    found = measure(options.rounds, options.seconds)
    print(f"{options.rounds} rounds of {options.seconds:g} s, {base.CONNECTIONS} keep-alive connections")
    for row, rounds in found.items():
        rate, cpu = spread([it.rate for it in rounds], ",.0f"), spread([it.cpu for it in rounds], ".1f")
        busy = statistics.median(each.busy for each in rounds)
        print(f"{row:<10} {rate}/s   {cpu} us CPU   generator busy {busy:.0%}")
    for over, under, aim in RATIOS:
        pairs = list(zip(found[over], found[under], strict=True))
        rate = spread([one.rate / other.rate for one, other in pairs], ".2f")
        cpu = spread([other.cpu / one.cpu for one, other in pairs], ".2f")
        print(f"{f'{over} / {under}':<20} {rate}   by CPU {cpu}{f'   aim {aim}' if aim else ''}")
    print(f"all more than one    {more(found, 'all', 'one')} us CPU   aim 25")
    print(f"to send as much      {more(found, 'null whole', 'null read')} us CPU")


def more(found: dict[str, list[Asked]], over: str, under: str) -> str:
    """Return how much more CPU a request of one row takes than of another, in microseconds."""
    return spread([one.cpu - other.cpu for one, other in zip(found[over], found[under], strict=True)], ".1f")


def spread(values: list[float], form: str) -> str:
    """Return the median of `values`, with the least and the most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
