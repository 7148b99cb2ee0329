"""`trackside web`: pages, the management API and the lane, in one worker process of granian."""

import ctypes
import os
import signal
import socket
import sys
import time
from functools import partial
from threading import Thread
from typing import Any

import click
import structlog

from trackside.errors import StartError, TracksideError
from trackside.logs import configure_logging
from trackside.settings import Settings, load_settings

log = structlog.get_logger(__name__)
BACKLOG = 1024
STOP_AFTER = 8
"""Seconds that requests at work get to end when the process is asked to stop."""
_PR_SET_PDEATHSIG = 1


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen at.")
def web(host: str, port: int) -> None:
    """Serve pages, the management API and ingest."""
    settings = load_settings()
    configure_logging(settings, "web")
    check_port(host, port)
    check_servers(settings)
    serve(settings, host, port)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests at work get `STOP_AFTER` seconds to end."""
    from granian import Granian
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    server = Granian(
        "trackside.serve:build",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        process_name="trackside web",
        blocking_threads=settings.web_threads,
        backlog=BACKLOG,
        backpressure=BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        workers_kill_timeout=STOP_AFTER,
        # its messages go the way of all others, through the root logger
        log_dictconfig={"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}},
        log_level=LogLevels.error,
    )
    server.serve(target_loader=partial(load, settings, host, port), wrap_loader=False)


def load(settings: Settings, host: str, port: int) -> Any:
    """Return the WSGI callable, in the worker process; it dies with its parent and says when it listens."""
    from trackside.runtime import build_runtime
    from trackside.serve import build

    die_with(os.getppid())
    configure_logging(settings, "web")
    try:
        app = build(build_runtime(settings))
    except TracksideError as error:
        click.echo(f"trackside: {error.message}", err=True)
        sys.exit(1)
    Thread(target=announce, args=("web", host, port), daemon=True).start()
    return app


def die_with(parent: int) -> None:
    """End this process when its parent is gone, killed too: the kernel does it on Linux, a thread elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def announce(name: str, host: str, port: int) -> None:
    """Log that the process called `name` listens, once it does."""
    for _ in range(500):
        try:
            socket.create_connection((_reachable(host), port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
            continue
        log.info("listening", process=name, at=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        return


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def check_port(host: str, port: int, patience: float = 1.0) -> None:
    """Raise StartError where `port` is taken or `host` is no address of this machine.

    granian shares its port (SO_REUSEPORT), so a second server would silently take half of the requests.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return
        except OSError as error:
            # a predecessor that was killed may still be going
            if time.monotonic() < give_up:
                time.sleep(0.05)
                continue
            reason = error.strerror or error
            raise StartError(
                f"Cannot listen at {host}:{port}: {reason}. Stop what uses it or choose another --port."
            ) from error


def check_servers(settings: Settings) -> None:
    """Raise StartError where PostgreSQL is away or a migration is missing; only warn where Redis is away."""
    from redis import RedisError
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    from trackside import migrate
    from trackside.redis import connect

    engine = create_engine(settings.database_url, connect_args={"connect_timeout": 5})
    try:
        migrate.require_head(engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise StartError(f"PostgreSQL is not reachable ({reason}): start it, or set DATABASE_URL") from error
    finally:
        engine.dispose()
    try:
        connect(settings.redis_live_url).ping()
    except RedisError as error:
        log.warning("web.redis_away", reason=type(error).__name__, effect="live figures wait until it is back")
