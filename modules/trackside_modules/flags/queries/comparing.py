"""How flags differ between two environments."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag, State


@dataclass(frozen=True, slots=True)
class Difference:
    """A flag that differs, and where: see `shape.diff`, `old` being the first environment's."""

    key: str
    diff: list[dict[str, Any]]


def compare(session: Session, first: int, second: int, *, keys: list[str] | None = None) -> list[Difference]:
    """Return the flags whose states differ between two environments, by key; `keys` narrows it."""
    one, other = aliased(State), aliased(State)
    query = (
        select(Flag.key, one.config, other.config)
        .join(one, (one.flag_id == Flag.id) & (one.env_id == first))
        .join(other, (other.flag_id == Flag.id) & (other.env_id == second))
        .where(Flag.archived_at.is_(None), one.config != other.config)
        .order_by(Flag.key.collate("C"))
    )
    if keys is not None:
        query = query.where(Flag.key.in_(keys))
    return [Difference(key, list(shape.diff(a, b))) for key, a, b in session.execute(query)]
