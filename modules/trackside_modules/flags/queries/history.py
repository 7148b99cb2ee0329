"""What was changed: of one flag, or of an environment in a span of time."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from trackside_modules.flags.models import Change, Flag


def changes(
    session: Session,
    flag: Flag,
    env_ids: Sequence[int] | None = None,
    *,
    before: int | None = None,
    limit: int = 50,
) -> list[Change]:
    """Return the changes of a flag itself and of its states in `env_ids` (None: everywhere), the newest first.

    `before` is the id of the last one shown.
    """
    query = select(Change).where(Change.flag_id == flag.id)
    if env_ids is not None:
        query = query.where(or_(Change.env_id.in_(env_ids), Change.env_id.is_(None)))
    if before is not None:
        query = query.where(Change.id < before)
    return list(session.scalars(query.order_by(Change.id.desc()).limit(limit)))


def between(session: Session, env_id: int, start: datetime, end: datetime, *, limit: int = 500) -> list[Change]:
    """Return what changed in an environment in `[start, end)`, in order of time: the marks of its charts."""
    query = (
        select(Change)
        .where(Change.env_id == env_id, Change.at >= start, Change.at < end, Change.what != "created")
        .order_by(Change.at.desc())
        .limit(limit)
    )
    return list(session.scalars(query))[::-1]
