"""`trackside demo`: the demo's traffic and customers, put into the workspace and taken out of it."""

import signal
import threading
import time

import click

from trackside.cli import runtime
from trackside.demo import COUNT_FILE
from trackside.demo import workspace as demo_workspace
from trackside.demo.count import read_count
from trackside.demo.keys import remove_key
from trackside.errors import Unavailable
from trackside.runtime import Runtime

STOPS_WITHIN = 12.0
"""Seconds that its process may take to notice, finish its last call and deliver what it counted."""


@click.group()
def demo() -> None:
    """Seed, run, pause or clear the demo: a small API whose traffic makes pages move."""


@demo.command()
@click.option("--port", default=0, help="Port of the demo API on this machine; 0 takes a free one.")
def run(port: int) -> None:
    """Run the demo API and its traffic while the workspace wants them (`trackside up` does this)."""
    from trackside.demo.process import serve
    from trackside.logs import configure_logging

    made = runtime()
    configure_logging(made.settings, "demo")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    serve(made, made.settings.data, port, stopping)


@demo.command()
def seed() -> None:
    """Add the demo's accounts and users, and let its traffic run."""
    with runtime().database.session() as session:
        demo_workspace.seed(runtime(), session)
    click.echo("The demo is in the workspace. Its traffic runs beside `trackside up`.")


@demo.command()
def pause() -> None:
    """Stop the traffic and keep everything; returns when all that was counted has been delivered."""
    _say(runtime(), demo_workspace.PAUSED)
    if not _stopped(runtime()):
        raise Unavailable(f"The demo did not stop within {STOPS_WITHIN:.0f} s: look at its log in the data folder.")
    count = read_count(runtime().settings.data / COUNT_FILE)
    click.echo(f"The demo's traffic is paused after {count.total:,} requests. `trackside demo resume` goes on.")


@demo.command()
def resume() -> None:
    """Let paused traffic run again."""
    _say(runtime(), demo_workspace.ON)
    click.echo("The demo's traffic runs again.")


@demo.command()
def clear() -> None:
    """Remove all of the demo: accounts, users, usage, endpoints, its key and its count. It does not come back."""
    _say(runtime(), demo_workspace.CLEARED)
    _stopped(runtime())
    with runtime().database.session() as session:
        remove_key(runtime(), session)
        gone = demo_workspace.clear(runtime(), session)
    (runtime().settings.data / COUNT_FILE).unlink(missing_ok=True)
    click.echo(f"The demo is gone: {gone['accounts']} accounts, {gone['users']} users, and all their usage.")


def _say(made: Runtime, state: str) -> None:
    with made.database.session() as session:
        demo_workspace.set_state(session, state)


def _stopped(made: Runtime) -> bool:
    """Wait until the demo's process has stopped and delivered, where one runs; return whether it has."""
    ends = time.monotonic() + STOPS_WITHIN
    while read_count(made.settings.data / COUNT_FILE).running:
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True
