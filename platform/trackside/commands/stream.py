"""`trackside stream`: server-sent events for members' browsers, in one worker process of granian."""

from typing import Any
from urllib.parse import urlsplit

import click

from trackside.commands.server import serve
from trackside.logs import configure_logging
from trackside.process import check_port
from trackside.settings import Settings, load_settings

BACKLOG = 4096
STOP_AFTER = 2
"""Seconds until open streams are cut when the process is asked to stop: browsers come back by themselves."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen at; default: the stream URL's, else 8001.")
def stream(host: str, port: int | None) -> None:
    """Serve live changes to members' browsers."""
    from granian.constants import Interfaces
    from granian.log import LogLevels

    settings = load_settings()
    configure_logging(settings, "stream")
    chosen = port or urlsplit(settings.stream_url).port or 8001
    check_port(host, chosen)
    serve(
        "stream",
        settings,
        host,
        chosen,
        _build,
        interface=Interfaces.ASGI,
        backlog=BACKLOG,
        backpressure=BACKLOG,
        workers_kill_timeout=STOP_AFTER,
        log_level=LogLevels.warning,
    )


def _build(settings: Settings) -> Any:
    import resource

    from trackside.stream.app import build

    # each stream is an open file; the soft limit is 1024 in most places
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    return build(settings)
