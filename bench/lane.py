"""What the lane costs: requests a second of an authenticated lane route, of nothing at all, and of Flask.

    python bench/lane.py [--rounds 5] [--seconds 2]

Three WSGI callables run in turn under the same granian (as `trackside web` sets it up), pinned to one core, asked by a
generator pinned to another (our own: keep-alive sockets and epoll, so that it runs wherever the tests do; it says how
busy it was itself, since a busy generator measures only itself):

    null     a callable that answers 2 bytes
    lane     the same answer as a lane route: path, API key, scope, request id, metrics
    flask    the same answer and the same key behind a Flask route of the real app

Rounds alternate, medians and ratios are printed; servers are throw-away, 127.0.0.1 only, and it stops by itself.
"""

import argparse
import os
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import servers

from trackside.testing.running import free_port

KINDS = ("null", "lane", "flask")
CONNECTIONS = 6
"""As many as pages get threads: with more, Flask's side would be refused with 503 on purpose."""
MOST_SECONDS = 90


def answer(_runtime: Any) -> Any:
    """Return the lane handler: two bytes, whoever asks."""
    from trackside.lane import LaneResponse

    done = LaneResponse("200 OK", b"ok", [("Content-Type", "text/plain")])
    return lambda _request: done


def null(_environ: Any, start_response: Any) -> list[bytes]:
    """Answer two bytes, and nothing else."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def load(kind: str) -> Any:
    """Return the callable of `kind`, in the server's process."""
    if kind == "null":
        return null
    from flask import Response, request

    from trackside import serve
    from trackside.app import create_app
    from trackside.auth import keyring
    from trackside.logs import configure_logging
    from trackside.module import LaneRoute, Module
    from trackside.pages import Pages
    from trackside.places import Places
    from trackside.runtime import build_runtime
    from trackside.settings import load_settings
    from trackside.web.policy import Policy

    sys.modules.setdefault("bench_lane", sys.modules[__name__])
    kinds = frozenset({"server"})
    runtime = build_runtime(load_settings())
    configure_logging(runtime.settings)
    extra = Module(name="bench", title="Bench", lane=(LaneRoute("GET", "/lane", "bench_lane:answer", kinds),))
    runtime = replace(runtime, registry=replace(runtime.registry, modules=(*runtime.registry.modules, extra)))
    app = create_app(runtime.settings, runtime=runtime)
    ring = keyring.build(runtime)

    def view() -> Response:
        ring.authenticate(request.environ).check(kinds)
        return Response(b"ok", content_type="text/plain")

    view.policy = Policy(public="measured only")  # type: ignore[attr-defined]
    app.add_url_rule("/flask", view_func=view)
    places = Places(runtime.settings.web_threads)
    pages = Pages(app, places)
    return serve.Lane(runtime, ring, pages, places, count=app.extensions["trackside.metrics"].lane)


@dataclass(frozen=True)
class Asked:
    """What one round found: requests a second, and the share of its core that the generator itself was busy."""

    rate: float
    busy: float


def ask(port: int, path: str, key: str, seconds: float) -> Asked:
    """Ask over `CONNECTIONS` keep-alive connections, one request at a time on each.

    Plain sockets and epoll: asyncio's streams made the generator the limit. Raises RuntimeError on any answer but 200.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()
    count = 0
    begun: dict[int, bytes] = {}
    with selectors.DefaultSelector() as ready, ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        began, worked = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            for selected, _ in ready.select(5):
                connection = selected.fileobj  # type: ignore[assignment]
                answer = begun.pop(selected.fd, b"") + connection.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"{path}: {answer[:200].decode(errors='replace')}")
                if answer[-6:-2] != b"\r\n\r\n":  # the two bytes of the body may come by themselves
                    begun[selected.fd] = answer
                    continue
                count += 1
                connection.sendall(request)
        spent = time.perf_counter() - began
        return Asked(count / spent, (time.process_time() - worked) / spent)


@contextmanager
def running(kinds: tuple[str, ...], core: int | None) -> Iterator[tuple[dict[str, int], str]]:
    """Run one server for each kind, all on `core`; give their ports and a key."""
    with ExitStack() as stack:
        given = stack.enter_context(servers.stores())
        key = servers.seeded(given, "server")
        ports = {kind: free_port() for kind in kinds}
        for kind, port in ports.items():
            stack.enter_context(servers.started([__file__, "--serve", kind, "--port", str(port)], given, core))
        for port in ports.values():
            servers.await_port(port)
        yield ports, key


def measure(rounds: int, seconds: float) -> dict[str, list[Asked]]:
    """Return what was found of each kind, once a round."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pinned = len(cores) > 1
    with running(KINDS, cores[1] if pinned else None) as (ports, key):
        if pinned:
            os.sched_setaffinity(0, {cores[0]})
        found: dict[str, list[Asked]] = {kind: [] for kind in KINDS}
        for kind, port in ports.items():
            ask(port, f"/{kind}", key, 0.5)
        for _ in range(rounds):
            for kind, port in ports.items():
                found[kind].append(ask(port, f"/{kind}", key, seconds))
    print(f"server on core {cores[1]}, generator on core {cores[0]}" if pinned else "not pinned: one core only")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the lane beside a null callable and Flask.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        servers.serve(partial(load, options.serve), options.port)
        return
    if options.rounds * len(KINDS) * options.seconds > MOST_SECONDS - 20:
        parser.error(f"that takes longer than {MOST_SECONDS} s")
    found = measure(options.rounds, options.seconds)
    middle = {kind: statistics.median(each.rate for each in rounds) for kind, rounds in found.items()}
    print(
        f"{options.rounds} rounds of {options.seconds:g} s, {CONNECTIONS} keep-alive connections, own epoll generator"
    )
    for kind, rounds in found.items():
        rates, busy = [each.rate for each in rounds], statistics.median(each.busy for each in rounds)
        span = f"from {min(rates):,.0f} to {max(rates):,.0f}, generator busy {busy:.0%}"
        print(f"{kind:<6} {middle[kind]:>9,.0f} requests/s  ({span})")
    print(f"lane / null   {middle['lane'] / middle['null']:.2f}")
    print(f"lane / flask  {middle['lane'] / middle['flask']:.2f}")


if __name__ == "__main__":
    main()
