"""Trackers in the management API: who tells what happens to work, and what they told. They belong to the workspace."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from trackside.api import Call, Id, Input, Name
from trackside.auth.audit import key_actor
from trackside.errors import Conflict
from trackside_modules.support.api import MANAGE, READ, api
from trackside_modules.support.models import Tracker
from trackside_modules.support.queries import work
from trackside_modules.support.service import trackers
from trackside_modules.support.shapes import TrackerOut, WorkNewsOut

_ONE = "/support/trackers/{tracker_id}"


class TrackerNew(Input):
    """A tracker to hear."""

    name: Name
    ships_on: Annotated[
        Literal["merge", "release"], Meta(description="When customers have work: once merged, or with a release")
    ] = "merge"


_AT = datetime.fromisoformat("2026-11-23T09:30:00Z")
_URL = "https://trackside.example/hooks/support/work/3"
_TRACKER = TrackerOut(3, "GitHub, acme/api", "release", _URL, _AT, _AT, None)
_NEWS = WorkNewsOut(12, "pull request", _AT, ["SUP-123"], [], [], "")


@api.get("/support/trackers", scope=READ, example=[_TRACKER])
def list_trackers(call: Call) -> list[TrackerOut]:
    """List the trackers, by name."""
    return [_out(call, each) for each in work.trackers(call.session)]


@api.post("/support/trackers", scope=MANAGE, status=201, errors=(Conflict,), example=_TRACKER)
def create_tracker(call: Call, body: TrackerNew) -> TrackerOut:
    """Let a tracker tell of work. Its secret is in this answer, and never shown again."""
    key, now = call.runtime.settings.secret_key, call.runtime.clock.now()
    made, secret = trackers.add(call.session, body.name, body.ships_on, key, who=key_actor(call.key), now=now)
    return _out(call, made, secret)


@api.get(_ONE, scope=READ, example=_TRACKER)
def get_tracker(call: Call, tracker_id: Id) -> TrackerOut:
    """Get a tracker."""
    return _out(call, trackers.get(call.session, tracker_id))


@api.delete(_ONE, scope=MANAGE)
def delete_tracker(call: Call, tracker_id: Id) -> None:
    """Hear a tracker no more; links that it made stay."""
    trackers.remove(call.session, tracker_id, who=key_actor(call.key), now=call.runtime.clock.now())


@api.post(f"{_ONE}:rotate", scope=MANAGE, example=_TRACKER)
def rotate_tracker(call: Call, tracker_id: Id) -> TrackerOut:
    """Make another secret, shown in this answer alone; the one before is good for 24 hours."""
    key, now = call.runtime.settings.secret_key, call.runtime.clock.now()
    made, secret = trackers.rotate(call.session, tracker_id, key, who=key_actor(call.key), now=now)
    return _out(call, made, secret)


@api.get(f"{_ONE}/news", scope=READ, example=[_NEWS])
def list_tracker_news(call: Call, tracker_id: Id) -> list[WorkNewsOut]:
    """List the last 50 deliveries of a tracker, the newest first, with what was linked and delivered by them."""
    trackers.get(call.session, tracker_id)
    return [WorkNewsOut.of(each.row) for each in work.news(call.session, tracker_id)]


def _out(call: Call, row: Tracker, secret: str | None = None) -> TrackerOut:
    return TrackerOut.of(row, trackers.address_of(call.runtime.settings, row.id), secret)
