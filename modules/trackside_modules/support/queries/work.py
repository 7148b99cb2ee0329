"""Trackers, and what they told."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside_modules.support.models import Tracker, WorkNews

PAGE = 50


@dataclass(frozen=True, slots=True)
class News:
    """A delivery, and whose it was."""

    tracker: str
    row: WorkNews


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
