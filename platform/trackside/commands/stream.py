"""`trackside stream`: server-sent events for members' browsers, in one worker process of granian."""

import os
import sys
from functools import partial
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import click

from trackside.commands.web import announce, check_port, die_with
from trackside.errors import TracksideError
from trackside.logs import configure_logging
from trackside.settings import Settings, load_settings

BACKLOG = 4096
STOP_AFTER = 2
"""Seconds until open streams are cut when the process is asked to stop: browsers come back by themselves."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen at; default: the stream URL's, else 8001.")
def stream(host: str, port: int | None) -> None:
    """Serve live changes to members' browsers."""
    settings = load_settings()
    configure_logging(settings, "stream")
    chosen = port or urlsplit(settings.stream_url).port or 8001
    check_port(host, chosen)
    serve(settings, host, chosen)


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    from granian import Granian
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    server = Granian(
        "trackside.stream.app:build",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        process_name="trackside stream",
        backlog=BACKLOG,
        backpressure=BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        workers_kill_timeout=STOP_AFTER,
        log_dictconfig={"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}},
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=partial(load, settings, host, port), wrap_loader=False)


def load(settings: Settings, host: str, port: int) -> Any:
    """Return the ASGI callable, in the worker process; it dies with its parent and says when it listens."""
    from trackside.stream.app import build

    die_with(os.getppid())
    configure_logging(settings, "stream")
    try:
        app = build(settings)
    except TracksideError as error:
        click.echo(f"trackside: {error.message}", err=True)
        sys.exit(1)
    Thread(target=announce, args=("stream", host, port), daemon=True).start()
    return app
