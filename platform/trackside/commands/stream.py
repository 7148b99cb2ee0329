"""`trackside stream`: the process of server-sent events."""

from urllib.parse import urlsplit

import click
from granian import Granian
from granian.constants import Interfaces

from trackside.settings import load_settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; default: that of the stream's URL, else 8001.")
def stream(host: str, port: int | None) -> None:
    """Serve live changes to members' browsers as server-sent events."""
    settings = load_settings()
    chosen = port or urlsplit(settings.stream_url).port or 8001
    Granian(
        "trackside.stream.app:build",
        address=host,
        port=chosen,
        interface=Interfaces.ASGI,
        factory=True,
        workers=1,
        backlog=4096,
        log_access=False,
    ).serve()
