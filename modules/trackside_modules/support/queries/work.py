"""Trackers, and what they told."""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside_modules.support import words
from trackside_modules.support.models import Tracker, WorkNews

PAGE = 50


@dataclass(frozen=True, slots=True)
class News:
    """A delivery, and whose it was."""

    tracker: str
    row: WorkNews


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

    @classmethod
    def of(cls, row: WorkNews) -> "WorkNewsOut":
        """Return `row` as the API shows it."""
        told = ([words.ref(each) for each in found] for found in (row.linked, row.shipped, row.unknown))
        return cls(row.id, row.event, row.received_at, *told)


def trackers(session: Session) -> list[Tracker]:
    """Return all trackers, by name."""
    return list(session.scalars(select(Tracker).order_by(Tracker.name, Tracker.id)))


def news(session: Session, tracker_id: int | None = None) -> list[News]:
    """Return what was told of late, by one tracker or by all, the newest first."""
    query = select(Tracker.name, WorkNews).join(WorkNews, WorkNews.tracker_id == Tracker.id)
    if tracker_id is not None:
        query = query.where(Tracker.id == tracker_id)
    found = session.execute(query.order_by(WorkNews.id.desc()).limit(PAGE))
    return [News(name, row) for name, row in found]
