"""`trackside stream`: server-sent events for browsers and programs, in one process."""

import asyncio
import resource
from urllib.parse import urlsplit

import click
import structlog

from trackside.logs import configure_logging
from trackside.process import check_port, url_of
from trackside.settings import load_settings

log = structlog.get_logger(__name__)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen at; default: the stream URL's, else 8001.")
def stream(host: str, port: int | None) -> None:
    """Serve live changes to members' browsers, and news of flags to programs and other sites' pages."""
    from setproctitle import setproctitle

    from trackside.stream.app import build
    from trackside.stream.server import serve

    settings = load_settings()
    configure_logging(settings, "stream")
    chosen = port or urlsplit(settings.stream_url).port or 8001
    check_port(host, chosen)
    setproctitle("trackside stream")
    # each stream is an open file; the soft limit is 1024 in most places
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def listening() -> None:
        log.info("listening", at=url_of(host, chosen))

    asyncio.run(serve(build(settings), host, chosen, listening))
