"""Wrong turns: calls of what does not exist, and calls refused with 401, 403 or 429, by who made them.

What support should know before the customer writes. Counts are exact, from the tiers; paths come from samples, of
which a busy hour keeps only some, so they say what was tried and never how often in all.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    and_,
    case,
    column,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, joinedload

from trackside.customers.models import UNKNOWN_USER, Account, User
from trackside_modules.usage.models import UsageEndpoint, UsageHour, UsageRoute, UsageSample
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.queries import people
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.reports.hints import Counts, Tried, hint
from trackside_modules.usage.reports.nearest import Routes
from trackside_modules.usage.storage import tiers, turns
from trackside_modules.usage.storage.counts import Groups
from trackside_modules.usage.storage.hung import numbers, run
from trackside_modules.usage.storage.packs import Ints
from trackside_modules.usage.storage.turns import STATUSES, Sort

By = Literal["user", "account"]
ORDERS = ("-seen", "-turns")
_PATHS = 3
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for."""

    env_id: int
    start: datetime
    end: datetime
    service: str = ""
    sort: Sort | None = None
    """Only who took this sort of turn."""
    by: By = "user"
    q: str = ""
    order: str = "-seen"


@dataclass(slots=True)
class Turns:
    """The wrong turns of a user or an account in a span."""

    who: User | Account | None
    """None for everybody unknown."""
    calls: int = 0
    """All their calls, right and wrong."""
    counts: Counts = field(default_factory=Counts)
    first: datetime | None = None
    last: datetime | None = None
    tried: list[Tried] = field(default_factory=list[Tried])
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, where the next begin, and what all of them come to; `unknown` is who sent no user."""

    rows: list[Turns]
    next: tuple[int, int, int] | None
    counts: Counts
    users: int
    unknown: Turns


def page(session: Session, wanted: Wanted, after: tuple[int, int, int] | None = None, limit: int | None = 50) -> Page:
    """Return who took wrong turns, newest or most first."""
    env_id, start, end = wanted.env_id, wanted.start, wanted.end
    them = turns.read(session, env_id, start, end, service=wanted.service, sort=wanted.sort)
    heads = people.heads(session, them.turns.users)
    ranked = _ranked(session, wanted, them.turns, heads, after)
    rows, unknown = _described(session, wanted, them, [key for key, *_ in ranked[:limit]])
    place = (
        (ranked[limit - 1][1], ranked[limit - 1][2], ranked[limit - 1][0]) if limit and len(ranked) > limit else None
    )
    sums = (int(them.turns.calls[them.turns.sorts == sort].sum()) for sort in range(len(turns.SORTS)))
    return Page(rows, place, Counts(*sums), len(np.unique(heads[heads != UNKNOWN_USER])), unknown)


def _ranked(
    session: Session, wanted: Wanted, them: turns.Turns, heads: Ints, after: tuple[int, int, int] | None
) -> list[tuple[int, int, int]]:
    """Return (key, seconds of the last turn's bucket, turns) in the order wanted; users that remain are `heads`."""
    mine, keys = heads != UNKNOWN_USER, heads
    if wanted.q:
        mine &= np.isin(heads, numbers(session.scalar(_matching(wanted))))
    if wanted.by == "account":
        keys = people.accounts(session, heads)
        mine &= keys != 0
    group = Groups.of(keys[mine])
    sums, last = group.sum(them.calls[mine]), group.most(them.last[mine])
    ranks = (last, sums, group.keys[0]) if wanted.order == "-seen" else (sums, last, group.keys[0])
    order = np.lexsort(ranks[::-1])[::-1]
    columns = [column[order].tolist() for column in (group.keys[0], last, sums)]
    found = list(zip(*columns, strict=True))
    if after is not None:
        place = _rank(wanted, (after[2], after[0], after[1]))
        found = [row for row in found if _rank(wanted, row) < place]
    return found


def _turn(wanted: Wanted) -> tiers.Narrow:
    """Return the condition for the wrong turns wanted, for any table of endpoints."""

    def narrow(table: Any) -> ColumnElement[bool]:
        kept = [tiers.is_wrong_turn(wanted.env_id, table)]
        if wanted.service:
            kept.append(table.endpoint_id.in_(_endpoints(wanted, UsageEndpoint.service == wanted.service)))
        nowhere = table.endpoint_id.in_(_endpoints(wanted, UsageEndpoint.route == UNMATCHED))
        if wanted.sort == "nowhere":
            kept.append(nowhere)
        elif wanted.sort:
            kept += [table.status == next(status for status, sort in STATUSES.items() if sort == wanted.sort), ~nowhere]
        return and_(*kept)

    return narrow


def _endpoints(wanted: Wanted, which: ColumnElement[bool]) -> Select[int]:
    return select(UsageEndpoint.id).where(UsageEndpoint.env_id == wanted.env_id, which)


def _rank(wanted: Wanted, row: tuple[int, ...]) -> tuple[int, int, int]:
    """Return what a row is ordered by, given its key, last turn and turns."""
    key, last, turns = row[:3]
    return (last, turns, key) if wanted.order == "-seen" else (turns, last, key)


def _matching(wanted: Wanted) -> Select[Any]:
    """Return the query for the users whose name, or whose account's, holds what was searched for."""
    columns = (User.external_id, User.name, User.email, Account.external_id, Account.name)
    query = select(run(User.id)).outerjoin(Account, Account.id == User.account_id)
    return query.where(or_(*(column.icontains(wanted.q, autoescape=True) for column in columns)))


def _described(session: Session, wanted: Wanted, them: turns.Found, keys: Sequence[int]) -> tuple[list[Turns], Turns]:
    """Return the rows in order, with their counts by sort, their times, what was tried and a hint; the unknown last."""
    named: dict[int, User | Account] = {}
    if wanted.by == "user":
        users = select(User).where(tiers.one_of(User.id, keys)).options(joinedload(User.account))
        named |= {it.id: it for it in session.scalars(users)}
    else:
        named |= {it.id: it for it in session.scalars(select(Account).where(tiers.one_of(Account.id, keys)))}
    owners = _owners(session, wanted.by, keys) | {UNKNOWN_USER: UNKNOWN_USER}
    found = {key: Turns(named[key]) for key in keys} | {UNKNOWN_USER: Turns(None)}
    _count(session, wanted, owners, found)
    _fill(session, wanted, them, owners, found)
    return [found[key] for key in keys], found[UNKNOWN_USER]


def _count(session: Session, wanted: Wanted, owners: dict[int, int], found: dict[int, Turns]) -> None:
    """Count all calls of the owners who are known, right and wrong."""
    mine = tuple(sorted(user for user in owners if user != UNKNOWN_USER))
    if not mine:
        return
    every = people.among(session, Scope(wanted.env_id, users=mine), wanted.start, wanted.end)
    for user, calls in zip(every.ids.tolist(), every.column("calls").tolist(), strict=True):
        found[owners[user]].calls += calls


def _owners(session: Session, by: By, keys: Sequence[int]) -> dict[int, int]:
    """Return the user ids that calls of these users or accounts were ever counted under, with the key of each."""
    key = User.id if by == "user" else User.account_id
    remain = select(User.id, key).where(tiers.one_of(key, keys), User.merged_into.is_(None))
    found = {user: owner for user, owner in session.execute(remain) if owner is not None}
    merged = select(User.id, User.merged_into).where(tiers.one_of(User.merged_into, found))
    return found | {user: found[head] for user, head in session.execute(merged) if head is not None}


def _fill(session: Session, wanted: Wanted, them: turns.Found, owners: dict[int, int], found: dict[int, Turns]) -> None:
    shown = them.turns.only(np.isin(them.turns.users, list(owners)))
    rows = [(user, turns.SORTS[sort], *sums) for user, sort, *sums in zip(*(it.tolist() for it in shown), strict=True)]
    hours = _hours(session, wanted, them.days, {(user, _at(at)) for user, _, _, *ends in rows for at in ends})
    for user, sort, calls, first, last in rows:
        it, begun, ended = found[owners[user]], _at(first), _at(last)
        it.counts.add(sort, calls)
        begun, ended = hours.get((user, begun), (begun,))[0], hours.get((user, ended), (ended,))[-1]
        it.first, it.last = min(it.first or begun, begun), max(it.last or ended, ended)
    routes = _routes(session, wanted.env_id)
    for owner, tried in _tried(session, wanted, owners).items():
        it = found[owner]
        it.tried = tried[:_PATHS]
        it.last = max([*(each.at for each in tried), *([it.last] if it.last else [])])
    for it in found.values():
        it.hint = hint(it.counts, it.calls, it.tried, routes, known=it.who is not None)


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _hours(
    session: Session, wanted: Wanted, days: Sequence[tiers.Part], buckets: set[tuple[int, datetime]]
) -> dict[tuple[int, datetime], tuple[datetime, datetime]]:
    """Return the first and last hour with a turn of those buckets of users that are `days` whose hours are kept."""
    asked = [(user, at) for user, at in buckets if any(part.start <= at < part.end for part in days)]
    if not asked:
        return {}
    columns = (
        ([user for user, _ in asked], ARRAY(BigInteger)),
        ([at for _, at in asked], ARRAY(DateTime(timezone=True))),
    )
    day = func.unnest(*(literal(*column) for column in columns)).table_valued(
        column("user_id", BigInteger), column("at", DateTime(timezone=True)), name="day"
    )
    day, it = day.render_derived(), UsageHour
    within = it.env_id == wanted.env_id, it.user_id == day.c.user_id, it.at >= day.c.at, it.at < day.c.at + _DAY
    hours = select(func.min(it.at).label("first"), func.max(it.at).label("last")).where(*within, _turn(wanted)(it))
    ends = hours.lateral("hours")
    query = select(day.c.user_id, day.c.at, ends.c.first, ends.c.last).join(ends, true())
    return {(user, at): (first, last) for user, at, first, last in session.execute(query) if first is not None}


def _tried(session: Session, wanted: Wanted, owners: dict[int, int]) -> dict[int, list[Tried]]:
    """Return the paths of samples by key, what was tried most first."""
    where = UsageSample.env_id == wanted.env_id, UsageSample.at >= wanted.start, UsageSample.at < wanted.end
    path = case((UsageSample.path != "", UsageSample.path), else_=UsageEndpoint.route)
    keys = (UsageSample.user_id, UsageEndpoint.method, path, UsageSample.status)
    query = (
        select(*keys, func.count(), func.max(UsageSample.at))
        .join(UsageEndpoint, UsageEndpoint.id == UsageSample.endpoint_id)
        .where(*where, UsageSample.user_id.in_(list(owners)), _turn(wanted)(UsageSample))
        .group_by(*keys)
    )
    merged: dict[int, dict[tuple[str, str, int], Tried]] = defaultdict(dict)
    for user, method, tried, status, samples, at in session.execute(query):
        mine, key = merged[owners[user]], (method, tried, status)
        before = mine.get(key)
        mine[key] = Tried(
            method, tried, status, samples + (before.samples if before else 0), max(at, before.at) if before else at
        )
    return {
        owner: sorted(mine.values(), key=lambda it: (-it.samples, -it.at.timestamp(), it.path))
        for owner, mine in merged.items()
    }


def _routes(session: Session, env_id: int) -> Routes:
    there = select(UsageEndpoint.method, UsageEndpoint.route).where(UsageEndpoint.env_id == env_id)
    told = select(UsageRoute.method, UsageRoute.route).where(UsageRoute.env_id == env_id)
    return Routes(_pairs(session.execute(there)) + _pairs(session.execute(told)))


def _pairs(rows: Iterable[Any]) -> list[tuple[str, str]]:
    return [(method, route) for method, route in rows]
