"""Change requests: which wait for a second member, and what became of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside_modules.flags.models import Flag, Request


@dataclass(frozen=True, slots=True)
class Row:
    """A change request with the flag it is about."""

    request: Request
    flag: Flag


def listed(
    session: Session,
    env_ids: Sequence[int] | None = None,
    *,
    status: Sequence[str] = (),
    flag_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Row]:
    """Return change requests of `env_ids` (None: of all, and of flags themselves), the newest first."""
    query = select(Request, Flag).join(Flag, Flag.id == Request.flag_id)
    if env_ids is not None:
        query = query.where(Request.env_id.in_(env_ids))
    if status:
        query = query.where(Request.status.in_(status))
    if flag_id is not None:
        query = query.where(Request.flag_id == flag_id)
    if before is not None:
        query = query.where(Request.id < before)
    return [Row(request, flag) for request, flag in session.execute(query.order_by(Request.id.desc()).limit(limit))]


WAITING = select(func.count()).select_from(Request).where(Request.status == "open")
"""How many open requests wait for a decision."""


def waiting(session: Session) -> int:
    """Return how many open requests wait for a decision."""
    return session.scalar(WAITING) or 0
