"""Which flags there are, and how each stands in every environment."""

from dataclasses import dataclass

from sqlalchemy import Text, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside_modules.flags.models import Flag, State


@dataclass(frozen=True, slots=True)
class Filter:
    """Which flags to list."""

    q: str = ""
    """Part of a key, name, description or tag."""
    kind: str = ""
    tag: str = ""
    owner_id: int | None = None
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A flag, its owner, and its states by environment."""

    flag: Flag
    owner: Member | None
    states: dict[int, State]


def listed(session: Session, wanted: Filter, *, after: str = "", limit: int = 0) -> list[Row]:
    """Return the flags that `wanted` lets through, by key; those after the key `after`; 0: all."""
    query = select(Flag).where(Flag.archived_at.is_not(None) if wanted.archived else Flag.archived_at.is_(None))
    if wanted.q:
        texts = (Flag.key, Flag.name, Flag.description, cast(Flag.tags, Text()))
        query = query.where(or_(*(text.icontains(wanted.q, autoescape=True) for text in texts)))
    if wanted.kind:
        query = query.where(Flag.kind == wanted.kind)
    if wanted.tag:
        query = query.where(cast(Flag.tags, JSONB()).contains([wanted.tag]))
    if wanted.owner_id is not None:
        query = query.where(Flag.owner_id == wanted.owner_id)
    if after:
        query = query.where(Flag.key.collate("C") > after)
    query = query.order_by(Flag.key.collate("C"))
    return rows(session, list(session.scalars(query.limit(limit) if limit else query)))


def rows(session: Session, flags: list[Flag]) -> list[Row]:
    """Return `flags` with their owners and states."""
    states: dict[int, dict[int, State]] = {flag.id: {} for flag in flags}
    for state in session.scalars(select(State).where(State.flag_id.in_(states))):
        states[state.flag_id][state.env_id] = state
    owners = {flag.owner_id for flag in flags if flag.owner_id is not None}
    found = {each.id: each for each in session.scalars(select(Member).where(Member.id.in_(owners)))} if owners else {}
    return [Row(flag, found.get(flag.owner_id or 0), states[flag.id]) for flag in flags]


def tags(session: Session) -> list[str]:
    """Return every tag that a living flag has, in order."""
    each = func.jsonb_array_elements_text(cast(Flag.tags, JSONB()))
    return sorted(set(session.scalars(select(each).where(Flag.archived_at.is_(None)))))
