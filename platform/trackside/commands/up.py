"""`trackside up`: everything on this machine, with servers of its own where none are named."""

import os
import time
from pathlib import Path

import click

from trackside.settings import DEFAULT_DATA


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65534),
    help="Port of the pages; streams use the next one.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="TRACKSIDE_DATA",
    default=DEFAULT_DATA,
    show_default=True,
    help="Folder of everything it keeps.",
)
@click.option("--demo/--no-demo", default=True, help="Run the demo API with live traffic.  [default: demo]")
@click.option(
    "--restore",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Bring this backup into the (new) folder first.",
)
def up(host: str, port: int, data: Path, demo: bool, restore: Path | None) -> None:
    """Start all of Trackside here; PostgreSQL and Valkey too, where DATABASE_URL and REDIS_URL are not set."""
    from trackside.embedded.supervisor import STARTED, Options, Supervisor

    started = float(os.environ.get(STARTED) or time.time())

    def say(text: str) -> None:
        click.echo(f"{time.time() - started:5.1f} s  {text}")

    Supervisor(Options(host, port, data, demo, restore), say, click.echo).run()
