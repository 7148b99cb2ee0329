"""When people call, and who stays: the heat map of the week, and users new, retained, returned and lost by week."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

import numpy as np
from pyroaring import BitMap64
from sqlalchemy import ARRAY, BigInteger, and_, any_, func, literal, select
from sqlalchemy.orm import Session, joinedload

from trackside.customers.models import User
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries import pulses
from trackside_modules.usage.storage import memory, once, pulse, reach, tiers
from trackside_modules.usage.storage.packs import Ints

WEEK = pulse.STEPS["week"]
_HOUR, _SLOTS = 3600, 7 * 24
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Measure = Literal["requests", "failed", "users"]
MEASURES: dict[Measure, str] = {"requests": "Requests", "failed": "Failed", "users": "Users"}
Kind = Literal["active", "new", "retained", "returned", "lost"]
KINDS: dict[Kind, str] = {
    "active": "Called at least once in the week.",
    "new": "Active in the week, and never before it.",
    "retained": "Active in the week and in the week before.",
    "returned": "Active in the week, not in the week before, but some time earlier.",
    "lost": "Active in the week before, and not in this one.",
}
"""What each word means, as the page says it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An hour of the week: what it has on average, the sum, and how often it came round in the span."""

    mean: float | None
    total: int
    times: int
    level: int
    """0 where there is nothing, else 1 to 6 by its share of the highest: the depth of its colour."""


@dataclass(frozen=True, slots=True)
class Heat:
    """The seven days from Monday, each with its 24 hours, and the span they were taken from."""

    days: list[list[Slot]]
    start: datetime
    end: datetime
    peak: tuple[int, int] | None
    """Day and hour of the highest."""


LEVELS = 6


def hold(session: Session, env_id: int, now: datetime) -> None:
    """Read once what all patterns of a page ask of hours, days and weeks (see `once`)."""
    once.hold(session, env_id, now - memory.KEEP["week"], memory.floor("day", now) + timedelta(days=1))


def heat(
    session: Session, env_id: int, now: datetime, *, weeks: int, zone: tzinfo, measure: Measure, service: str = ""
) -> Heat:
    """Return the hours of the week in `zone`, over as many whole weeks up to the last whole hour.

    A young workspace counts from its first hour on, so that weeks before it do not thin the averages.
    """
    end = memory.floor("hour", now)
    start = end - weeks * WEEK
    start = min(end, max(start, memory.floor("hour", pulse.first(session, env_id) or end)))
    places = _places(start, end, zone)
    if measure == "users":
        who, found = reach.people(session), pulses.callers(session, env_id, "hour", start, end, service=service)
        at = np.array([int(each.timestamp()) for each in found], dtype=np.int64)
        measured = np.array([len(who.of(users)) for users in found.values()], dtype=np.int64)
    else:
        at, calls, failed = pulses.hours(session, env_id, start, end, service)
        measured = calls if measure == "requests" else failed
    totals = np.zeros(_SLOTS, dtype=np.int64)
    np.add.at(totals, places[(at - int(start.timestamp())) // _HOUR], measured)
    return _heat(_by_day(totals), _by_day(np.bincount(places, minlength=_SLOTS)), start, end)


@lru_cache(maxsize=32)
def _places(start: datetime, end: datetime, zone: tzinfo) -> Ints:
    """Return the place in the week of `zone`, from Monday 00:00 on, of each hour of a span."""
    hours = (start + place * pulse.STEPS["hour"] for place in range((end - start) // pulse.STEPS["hour"]))
    return np.array([at.weekday() * 24 + at.hour for at in (it.astimezone(zone) for it in hours)], dtype=np.int64)


def _by_day(slots: Ints) -> list[list[int]]:
    found: list[list[int]] = slots.reshape(len(DAYS), 24).tolist()
    return found


def _heat(totals: list[list[int]], times: list[list[int]], start: datetime, end: datetime) -> Heat:
    means = [
        [total / count if count else None for total, count in zip(*day, strict=True)]
        for day in zip(totals, times, strict=True)
    ]
    top = max((mean or 0 for day in means for mean in day), default=0)
    days = [
        [
            Slot(mean, total, count, 1 + min(LEVELS - 1, int(LEVELS * mean / top)) if mean else 0)
            for mean, total, count in zip(*day, strict=True)
        ]
        for day in zip(means, totals, times, strict=True)
    ]
    peak = next(((d, h) for d, day in enumerate(means) for h, mean in enumerate(day) if top and mean == top), None)
    return Heat(days, start, end, peak)


@dataclass(frozen=True, slots=True)
class Week:
    """Who was active in a week, by how they relate to the weeks before; every set holds each person once."""

    at: datetime
    active: BitMap64
    new: BitMap64
    retained: BitMap64
    returned: BitMap64
    lost: BitMap64

    def of(self, kind: Kind) -> BitMap64:
        """Return one of the sets by name."""
        found: BitMap64 = getattr(self, kind)
        return found


@dataclass(frozen=True, slots=True)
class Cohort:
    """The users who were new in a week, and how many of them were active in each week from it on."""

    at: datetime
    size: int
    active: list[int]

    def share(self, later: int) -> float | None:
        """Return the share of them that was active so many weeks later; None where that week is yet to come."""
        return self.active[later] / self.size if self.size and later < len(self.active) else None


@dataclass(frozen=True, slots=True)
class Weeks:
    """The weeks a page shows, oldest first; the last one is going on."""

    weeks: list[Week] = field(default_factory=list[Week])
    cohorts: list[Cohort] = field(default_factory=list[Cohort])


def weeks(session: Session, env_id: int, now: datetime, *, shown: int, service: str = "") -> Weeks:
    """Return the last `shown` weeks and their cohorts, told apart by all weeks there ever were."""
    begin = pulse.first(session, env_id)
    if begin is None:
        return Weeks()
    start = memory.floor("week", begin)
    found, who = pulses.callers(session, env_id, "week", start, now, service=service), reach.people(session)
    starts = [start + place * WEEK for place in range((memory.floor("week", now) - start) // WEEK + 1)]
    sets = [who.of(found[at]) if at in found else BitMap64() for at in starts]
    return Weeks(flow(starts, sets)[-shown:], cohorts(starts, sets, shown))


def flow(starts: Sequence[datetime], sets: Sequence[BitMap64]) -> list[Week]:
    """Return each week's users by kind, given who was active in each of all weeks without a gap."""
    found: list[Week] = []
    before, ever = BitMap64(), BitMap64()
    for at, active in zip(starts, sets, strict=True):
        retained = active & before
        new = active - ever
        found.append(Week(at, active, new, retained, active - retained - new, before - active))
        before, ever = active, ever | active
    return found


def cohorts(starts: Sequence[datetime], sets: Sequence[BitMap64], shown: int) -> list[Cohort]:
    """Return for each of the last `shown` weeks who was new in it, followed through all weeks after."""
    found: list[Cohort] = []
    first = max(0, len(starts) - shown)
    ever = BitMap64().union(*sets[:first])
    for place, (at, active) in enumerate(zip(starts[first:], sets[first:], strict=True), start=first):
        new = active - ever
        found.append(Cohort(at, len(new), [new.intersection_cardinality(later) for later in sets[place:]]))
        ever |= active
    return found


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a list, with their calls in the week (for lost ones, in the week before)."""

    user: User
    calls: int


def persons(
    session: Session,
    env_id: int,
    week: Week,
    kind: Kind,
    *,
    service: str = "",
    after: tuple[int, int] | None = None,
    limit: int | None = 50,
) -> tuple[list[Person], tuple[int, int] | None]:
    """Return the people of a set, who called most first, and the place (calls, id) where the next ones begin."""
    ids = literal(list(reach.people(session).ids(week.of(kind))), ARRAY(BigInteger))
    start = week.at - WEEK if kind == "lost" else week.at
    spans = tiers.parts(session, env_id, start, start + WEEK)
    if service:
        its = select(UsageEndpoint.id).where(UsageEndpoint.env_id == env_id, UsageEndpoint.service == service)
        rows = tiers.by_user(env_id, spans, lambda table: and_(table.user_id == any_(ids), table.endpoint_id.in_(its)))
    else:
        rows = tiers.of_user(env_id, spans, lambda table: table.user_id == any_(ids))
    head = func.coalesce(User.merged_into, User.id)
    calls = func.sum(rows.c.calls)
    query = select(head, calls).join(User, User.id == rows.c.user_id).group_by(head)
    query = query.order_by(calls.desc(), head).limit(limit + 1 if limit else None)
    if after is not None:
        query = query.having((calls < after[0]) | ((calls == after[0]) & (head > after[1])))
    found = [(int(user), int(count)) for user, count in session.execute(query)]
    named = {
        it.id: it
        for it in session.scalars(
            select(User).where(User.id.in_([user for user, _ in found])).options(joinedload(User.account))
        )
    }
    shown = [Person(named[user], count) for user, count in found[:limit]]
    last = found[limit - 1] if limit and len(found) > limit else None
    return shown, (last[1], last[0]) if last else None


def week_of(session: Session, env_id: int, at: datetime, now: datetime, service: str = "") -> Week | None:
    """Return the week that begins `at`; None where there was none."""
    begin = pulse.first(session, env_id)
    at = at.astimezone(UTC)
    if begin is None or at != memory.floor("week", at) or at > now or at < memory.floor("week", begin):
        return None
    behind = (memory.floor("week", now) - at) // WEEK + 1
    return weeks(session, env_id, now, shown=behind, service=service).weeks[0]
