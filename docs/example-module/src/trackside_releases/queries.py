"""Read models: one function a question."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside_releases.models import Release


def newest(session: Session, env_id: int, limit: int = 50) -> list[Release]:
    """Return the newest releases of an environment."""
    query = select(Release).where(Release.env_id == env_id).order_by(Release.at.desc(), Release.id.desc())
    return list(session.scalars(query.limit(limit)))


def between(session: Session, env_id: int, start: datetime, end: datetime) -> list[Release]:
    """Return the releases in `[start, end)`, oldest first."""
    query = select(Release).where(Release.env_id == env_id, Release.at >= start, Release.at < end)
    return list(session.scalars(query.order_by(Release.at)))
