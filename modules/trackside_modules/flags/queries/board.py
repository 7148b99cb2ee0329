"""The list of flags: what each is, how it stands in every environment, and which of them match what is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
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
_NO_TIMES = [literal(None, JSONB), literal([], JSONB)]
_MOVES = or_(
    State.config["schedule"].not_in(_NO_TIMES),
    State.config["serve"]["steps"].not_in(_NO_TIMES),
)
"""Whether the moment decides how a flag stands: NULL where it never had steps, which is no."""
_SHARE = case(
    (State.config["enabled"].as_boolean(), func.coalesce(State.config["serve"]["rollout"].as_integer(), shape.WHOLE)),
    else_=-1,
)
"""What `_share` returns of all others."""


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
    # a thousand configs take longer to read than all else: only those that change by themselves, or are asked for
    config = State.config if wanted.state == "partly" else case((_MOVES, State.config))
    states = session.execute(
        select(Flag.id, config, _SHARE)
        .join(State, (State.flag_id == Flag.id) & (State.env_id == env_id))
        .where(*_filters(wanted))
        .order_by(*_order(wanted.sort))
    )
    shares = [(flag_id, config, share if config is None else _share(config, now)) for flag_id, config, share in states]
    found = [each for each in shares if _stands(each[1], each[2], wanted.state, now)]
    if wanted.sort.lstrip("-") == "rollout":
        found.sort(key=lambda each: each[2], reverse=wanted.sort.startswith("-"))
    ids = [flag_id for flag_id, _, _ in found]
    if wanted.state == "stale":
        flags = list(session.scalars(select(Flag).where(Flag.id.in_(ids))))
        stale = staleness.evidence(session, listing.rows(session, flags), now=now)
        ids = [each for each in ids if stale[each]]
    shown = ids[wanted.offset : wanted.offset + PAGE]
    by_id = {flag.id: flag for flag in session.scalars(select(Flag).where(Flag.id.in_(shown)))}
    return [by_id[each] for each in shown if each in by_id], len(ids)


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


def _stands(config: Mapping[str, Any] | None, share: int, state: str, now: datetime) -> bool:
    if state in {"", "stale", "archived"}:
        return True
    on = share >= 0
    if state == "partly":
        return on and config is not None and shape.verdict(config, now) is None
    return on is (state == "on")


def _share(config: Mapping[str, Any], now: datetime) -> int:
    """Return the rollout, below all others where the flag is off."""
    return shape.rollout_at(config["serve"], now) if shape.enabled_at(config, now) else -1
