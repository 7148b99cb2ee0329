"""What `trackside web` and `trackside stream` share: one worker process of granian, which dies with its parent."""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

import click
import structlog

from trackside.errors import TracksideError
from trackside.logs import configure_logging
from trackside.process import die_with, reachable, settle, url_of
from trackside.settings import Settings

log = structlog.get_logger(__name__)
HEADERS_WITHIN = 15_000
"""Milliseconds that a client gets to send its headers."""
Build = Callable[[Settings], Any]


def serve(name: str, settings: Settings, host: str, port: int, build: Build, **options: Any) -> None:
    """Serve until SIGTERM or SIGINT what `build` returns in the worker process; `options` are granian's."""
    from granian import Granian
    from granian.http import HTTP1Settings

    server = Granian(
        "trackside.commands.server:load",
        address=host,
        port=port,
        process_name=f"trackside {name}",
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_WITHIN),
        # its messages go the way of all others, through the root logger
        log_dictconfig={"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}},
        **options,
    )
    server.serve(target_loader=partial(load, name, settings, host, port, build), wrap_loader=False)


def load(name: str, settings: Settings, host: str, port: int, build: Build) -> Any:
    """Return the callable to serve, in the worker process; it dies with its parent and says when it listens."""
    die_with(os.getppid())
    configure_logging(settings, name)
    try:
        app = build(settings)
    except TracksideError as error:
        click.echo(f"trackside: {error.message}", err=True)
        sys.exit(1)
    settle()
    Thread(target=announce, args=(name, host, port), daemon=True).start()
    return app


def announce(name: str, host: str, port: int) -> None:
    """Log that the process called `name` listens, once it does."""
    for _ in range(500):
        try:
            socket.create_connection((reachable(host), port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
            continue
        log.info("listening", process=name, at=url_of(host, port))
        return
