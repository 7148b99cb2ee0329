"""The list of flags: what each is, how it stands in every environment, and which of them match what is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.queries import listing, staleness
from trackside_modules.flags.queries.staleness import Evidence
from trackside_modules.flags.words import percent

PAGE = 50
SORTS = ("key", "kind", "age", "changed", "rollout")
STATES = ("on", "off", "partly", "stale", "archived")
_KEY = Flag.key.collate("C")
_COLUMNS: Mapping[str, Any] = {
    "key": _KEY,
    "kind": Flag.kind,
    "age": Flag.created_at,
    "changed": Flag.updated_at,
}
"""Sorts that need no flag's rules."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty texts and None mean all."""

    q: str = ""
    kind: str = ""
    tag: str = ""
    owner: int | None = None
    state: str = ""
    sort: str = "key"
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a flag stands in an environment at a moment."""

    on: bool
    rollout: int
    """Of 100,000, of everyone else."""
    verdict: str | None
    """The one variant that everybody gets; None where it differs by who asks."""
    rules: int
    ramps: bool
    """Whether it will change by itself."""

    @property
    def words(self) -> str:
        """Return it in a word or two: `off`, `on`, `25%`, `by rules`."""
        if not self.on:
            return "off"
        if self.verdict is not None:
            return "on"
        if 0 < self.rollout < shape.WHOLE:
            return percent(self.rollout)
        return "by rules" if self.rules else "split"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the list."""

    row: listing.Row
    standings: Mapping[int, Standing]
    """By environment."""
    stale: Sequence[Evidence]
    """Why the flag has had its day; empty for most."""


@dataclass(frozen=True, slots=True)
class Board:
    """A page of the list."""

    rows: Sequence[Line]
    total: int
    """Flags that match, on all pages."""
    there: int
    """Flags there are at all."""
    tags: Sequence[str]
    owners: Sequence[Member]
    """To choose from."""


def standing(config: Mapping[str, Any], now: datetime) -> Standing:
    """Return how a config stands at `now`."""
    return Standing(
        on=shape.enabled_at(config, now),
        rollout=shape.rollout_at(config["serve"], now),
        verdict=shape.verdict(config, now),
        rules=len(config["rules"]),
        ramps=any(at > now for at in shape.times(config)),
    )


def board(session: Session, env_id: int, wanted: Wanted, now: datetime) -> Board:
    """Return the page of flags that `wanted` asks for; state and rollout are those in the environment."""
    if wanted.state in {"", "archived"} and wanted.sort.lstrip("-") in _COLUMNS:
        flags, total = _page(session, wanted)
    else:
        flags, total = _page_by_standing(session, env_id, wanted, now)
    there = session.scalar(select(func.count()).select_from(Flag)) or 0
    return Board(lines(session, flags, now), total, there, listing.tags(session), owners(session))


def _page(session: Session, wanted: Wanted) -> tuple[list[Flag], int]:
    """Return the page, and how many match, where PostgreSQL itself can filter and sort."""
    matching = _filters(wanted)
    total = session.scalar(select(func.count()).select_from(Flag).where(*matching)) or 0
    query = select(Flag).where(*matching).order_by(*_order(wanted.sort))
    return list(session.scalars(query.offset(wanted.offset).limit(PAGE))), total


def _page_by_standing(session: Session, env_id: int, wanted: Wanted, now: datetime) -> tuple[list[Flag], int]:
    """Return the page, and how many match, where it takes each flag's rules to know how it stands."""
    configs = session.execute(
        select(Flag.id, State.config)
        .join(State, (State.flag_id == Flag.id) & (State.env_id == env_id))
        .where(*_filters(wanted))
        .order_by(*_order(wanted.sort))
    )
    found = [(flag_id, config) for flag_id, config in configs if _stands(config, wanted.state, now)]
    if wanted.sort.lstrip("-") == "rollout":
        found.sort(key=lambda each: _share(each[1], now), reverse=wanted.sort.startswith("-"))
    ids = [flag_id for flag_id, _ in found]
    if wanted.state == "stale":
        flags = list(session.scalars(select(Flag).where(Flag.id.in_(ids))))
        stale = staleness.evidence(session, listing.rows(session, flags), now=now)
        ids = [each for each in ids if stale[each]]
    shown = ids[wanted.offset : wanted.offset + PAGE]
    by_id = {flag.id: flag for flag in session.scalars(select(Flag).where(Flag.id.in_(shown)))}
    return [by_id[each] for each in shown], len(ids)


def _order(sort: str) -> tuple[Any, ...]:
    """Return how PostgreSQL sorts; by key where it cannot."""
    column = _COLUMNS.get(sort.lstrip("-"))
    if column is None:
        return (_KEY,)
    # the youngest flag is the one made last
    down = sort.startswith("-") is not (column is Flag.created_at)
    return column.desc() if down else column.asc(), _KEY


def lines(session: Session, flags: list[Flag], now: datetime) -> list[Line]:
    """Return a line for each of `flags`, in their order."""
    rows = listing.rows(session, flags)
    stale = staleness.evidence(session, rows, now=now)
    return [
        Line(row, {env_id: standing(each.config, now) for env_id, each in row.states.items()}, stale[row.flag.id])
        for row in rows
    ]


def owners(session: Session) -> list[Member]:
    """Return whoever owns a flag, by name."""
    ids = select(Flag.owner_id).where(Flag.archived_at.is_(None)).distinct()
    return sorted(session.scalars(select(Member).where(Member.id.in_(ids))), key=lambda each: each.name or each.email)


def _filters(wanted: Wanted) -> list[Any]:
    archived = wanted.state == "archived"
    found: list[Any] = [Flag.archived_at.is_not(None) if archived else Flag.archived_at.is_(None)]
    for word in wanted.q.split():
        like = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        found.append(or_(Flag.key.ilike(like), Flag.name.ilike(like), Flag.description.ilike(like)))
    if wanted.kind:
        found.append(Flag.kind == wanted.kind)
    if wanted.tag:
        found.append(Flag.tags.contains([wanted.tag]))
    if wanted.owner is not None:
        found.append(Flag.owner_id == wanted.owner)
    return found


def _stands(config: Mapping[str, Any], state: str, now: datetime) -> bool:
    if state in {"", "stale", "archived"}:
        return True
    on = shape.enabled_at(config, now)
    if state == "partly":
        return on and shape.verdict(config, now) is None
    return on is (state == "on")


def _share(config: Mapping[str, Any], now: datetime) -> int:
    """Return the rollout, below all others where the flag is off."""
    return shape.rollout_at(config["serve"], now) if shape.enabled_at(config, now) else -1
