"""`trackside support trackers`: who tells what happens to work, from the shell."""

from datetime import datetime
from typing import Any

import click

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside_modules.support.models import Tracker
from trackside_modules.support.queries import work
from trackside_modules.support.service import trackers as service
from trackside_modules.support.shapes import TrackerOut, WorkNewsOut


@click.group()
def trackers() -> None:
    """Hear of work from code hosts: `Fixes SUP-123`."""


@trackers.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the trackers."""
    with runtime().database.session() as session:
        found = [_out(each) for each in work.trackers(session)]
    lines = [f"{it.id:<4} {it.name:<28} {it.ships_on:<8} heard {_when(it.heard_at):<16} {it.url}" for it in found]
    say(as_json, found, *(lines or ["No tracker tells of work."]))


@trackers.command()
@click.argument("name")
@click.option("--ships-on", type=click.Choice(list(service.SHIPS_ON)), default="merge", show_default=True)
@as_json
def add(name: str, ships_on: str, as_json: bool) -> None:
    """Let NAME tell of work. Prints where it posts, and its secret, this once."""
    with runtime().database.session() as session:
        made, secret = service.add(session, name, ships_on, runtime().settings.secret_key, **_how())
        told = _out(made, secret)
    say(as_json, told, f"{told.name} is tracker {told.id}. It posts to", told.url, _ONCE, secret)


@trackers.command()
@click.argument("tracker", type=int)
@as_json
def rotate(tracker: int, as_json: bool) -> None:
    """Make another secret; the one before is good for 24 hours."""
    with runtime().database.session() as session:
        made, secret = service.rotate(session, tracker, runtime().settings.secret_key, **_how())
        told = _out(made, secret)
    say(as_json, told, _ONCE, secret)


@trackers.command()
@click.argument("tracker", type=int)
@as_json
def remove(tracker: int, as_json: bool) -> None:
    """Hear a tracker no more; links that it made stay."""
    with runtime().database.session() as session:
        service.remove(session, tracker, **_how())
    say(as_json, {"removed": tracker}, "The tracker is removed; links that it made stay.")


@trackers.command()
@click.argument("tracker", type=int)
@as_json
def news(tracker: int, as_json: bool) -> None:
    """List what a tracker told of late, and what came of it."""
    with runtime().database.session() as session:
        service.get(session, tracker)
        found = [each.row for each in work.news(session, tracker)]
        told = [WorkNewsOut.of(each) for each in found]
    lines = [f"{it.received_at:%Y-%m-%d %H:%M} {it.event:<24} {_became(it)}" for it in told]
    say(as_json, told, *(lines or ["Nothing yet."]))


_ONCE = "Its secret, shown this once:"


def _how() -> dict[str, Any]:
    return {"who": COMMAND_LINE, "now": runtime().clock.now()}


def _out(row: Tracker, secret: str | None = None) -> TrackerOut:
    return TrackerOut.of(row, service.address_of(runtime().settings, row.id), secret)


def _became(it: WorkNewsOut) -> str:
    told = {"linked": it.linked, "delivered": it.shipped, "not known here": it.unknown}
    return (
        "; ".join(f"{what} {', '.join(found)}" for what, found in told.items() if found)
        or it.why
        or "concerns no interaction"
    )


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "never"
