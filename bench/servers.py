"""What benchmarks share: throw-away PostgreSQL and Valkey, a seeded workspace, servers set up as `trackside web` does.

Everything listens on 127.0.0.1 alone, and ends with the block that began it.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def stores(folder: Path | None = None, *, durable: bool = False) -> Iterator[dict[str, str]]:
    """Run PostgreSQL (`durable`: with its commits on the disk) and Valkey; give the settings of whoever uses them."""
    from trackside.embedded.postgres import Postgres
    from trackside.embedded.valkey import Valkey

    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trackside-bench-")))
        postgres, valkey = Postgres(folder, throwaway=not durable), Valkey(folder, throwaway=True)
        for server in (postgres, valkey):
            server.start()
            stack.callback(server.stop)
        yield {
            "DATABASE_URL": postgres.url(),
            "REDIS_URL": valkey.url(),
            "TRACKSIDE_SECRET_KEY": os.urandom(32).hex(),
            "TRACKSIDE_LOG_LEVEL": "ERROR",
            "TRACKSIDE_DATA": str(folder),
        }


def seeded(given: dict[str, str], kind: str, fill: Callable[[Any, Any, Any], None] | None = None) -> str:
    """Migrate the database, seed a workspace, call `fill(session, environment, now)`; return a key of a kind."""
    from trackside import migrate
    from trackside.auth.audit import COMMAND_LINE
    from trackside.auth.keys import create_key
    from trackside.runtime import build_runtime
    from trackside.settings import load_settings
    from trackside.workspace import environments, seed_workspace

    runtime = build_runtime(load_settings(given))
    migrate.upgrade(runtime.database.engine)
    now = runtime.clock.now()
    with runtime.database.session() as session:
        seed_workspace(session)
        environment = environments(session)[0]
        if fill is not None:
            fill(session, environment, now)
        _, key = create_key(session, COMMAND_LINE, now, environment, kind=kind, name="bench")
    runtime.close()
    return key


def serve(load: Callable[[], Any], port: int, threads: int = 8) -> None:
    """Serve what `load` returns until told to stop, with granian set up as `trackside web` does."""
    from granian import Granian
    from granian.constants import Interfaces

    Granian(
        "bench",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=threads,
        backlog=1024,
        backpressure=1024,
        workers_kill_timeout=3,
        log_enabled=False,
    ).serve(target_loader=load, wrap_loader=False)


@contextmanager
def started(command: list[str], given: dict[str, str], core: int | None = None) -> Iterator[int]:
    """Run Python with `command` and these settings, pinned to `core`; give its process id, and end it afterwards."""
    process = subprocess.Popen([sys.executable, *command], env={**os.environ, **given}, stdout=subprocess.DEVNULL)
    try:
        if core is not None:
            # at once, so that the worker and its threads inherit it
            os.sched_setaffinity(process.pid, {core})
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def await_port(port: int) -> None:
    """Wait until something listens at a port; raises RuntimeError after 30 seconds."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server at port {port} did not start")


def worker_of(process: int) -> int:
    """Return the id of the process that works for one, itself where it has no child."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(children[0]) if children else process


def cpu_of(process: int) -> float:
    """Return the CPU seconds that a process has spent, ended threads too: to the nanosecond, `stat` has hundredths."""
    return time.clock_gettime(~process << 3 | 2)  # what clock_getcpuclockid(3) returns, which Python has not
