"""What the API and the shell tell alike, as JSON: trackers, and what they told."""

from datetime import datetime

import msgspec

from trackside_modules.support import words
from trackside_modules.support.models import Tracker, WorkNews


class TrackerOut(msgspec.Struct):
    """A code host or tracker that posts what happens to work."""

    id: int
    name: str
    ships_on: str
    """When customers have work: `merge` or `release`."""
    url: str
    """Where it posts."""
    created_at: datetime
    heard_at: datetime | None
    old_until: datetime | None
    """Until when the secret before is good, too."""
    secret: str | None = None
    """In the answer that makes it, and never again."""

    @classmethod
    def of(cls, row: Tracker, url: str, secret: str | None = None) -> "TrackerOut":
        """Return `row` as the API shows it."""
        return cls(row.id, row.name, row.ships_on, url, row.created_at, row.heard_at, row.old_until, secret)


class WorkNewsOut(msgspec.Struct):
    """A delivery of a tracker's, and what came of it."""

    id: int
    event: str
    received_at: datetime
    linked: list[str]
    shipped: list[str]
    unknown: list[str]
    """Numbers that do not exist."""
    why: str
    """Why it delivered nothing, where one could wonder."""

    @classmethod
    def of(cls, row: WorkNews) -> "WorkNewsOut":
        """Return `row` as the API shows it."""
        linked, shipped, unknown = ([words.ref(each) for each in it] for it in (row.linked, row.shipped, row.unknown))
        return cls(row.id, row.event, row.received_at, linked, shipped, unknown, row.why)
