"""How near everybody is to their limit: the page Rate limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis import RedisError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.runtime import Runtime
from trackside_modules.usage.quota import queries, requests
from trackside_modules.usage.quota.counters import Counters
from trackside_modules.usage.quota.queries import Row
from trackside_modules.usage.quota.rules import Limit

READ = 2000
"""Members read of each limit: those nearest to it."""
FOUND = 500
"""Accounts and users that a search is carried to."""
PAGE = 50
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Standing:
    """How near one account or user is to a limit at `now`."""

    limit: Limit
    member: str
    used: int
    now: datetime

    @property
    def share(self) -> float:
        """What is used of the limit; 1 and more where it is reached."""
        return self.used / self.limit.capacity

    @property
    def ends(self) -> datetime | None:
        """When the window is over; None for a steady rate, which has none."""
        if self.limit.kind == "gcra":
            return None
        start = self.limit.window_at(self.now.timestamp())
        return datetime.fromtimestamp(start + self.limit.seconds, UTC)

    @property
    def reached(self) -> datetime | None:
        """When the limit is reached if it goes on as it did in this window; None where it is not in this window."""
        if self.ends is None or self.used <= 0 or self.share >= 1:
            return None
        begun = self.ends - timedelta(seconds=self.limit.seconds)
        at = begun + (self.now - begun) * (self.limit.capacity / self.used)
        return at if at < self.ends else None


@dataclass(frozen=True, slots=True)
class Line:
    """A standing as the page shows it."""

    standing: Standing
    whose: Account | User | None
    refused: int
    """Refusals by checks in this window."""
    throttled: int
    """Answers of 429 in the last 24 hours, as usage counted them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which standings a page shows."""

    policy: str = ""
    q: str = ""
    near: bool = False
    """Only those at 80 % or more."""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Standings:
    """What the page shows."""

    lines: list[Line]
    total: int
    """Of all pages, with the filter."""
    counted: int
    near: int
    over: int
    away: bool
    """Redis cannot be asked: what checks counted is missing."""


def standings(runtime: Runtime, session: Session, env_id: int, rows: Sequence[Row], wanted: Wanted) -> Standings:
    """Return who is how near to a limit, the nearest first."""
    counters = Counters(runtime.redis.live)
    policies = queries.policies(rows)
    limits = {each.id: each for policy in policies.values() for each in requests.limits_of(policy)}
    now = runtime.clock.now()
    found = [
        Standing(limits[quota_id], member, count, now)
        for (quota_id, member), count in requests.used(session, env_id, policies, now).items()
    ]
    away = False
    try:
        found += _checked(counters, [each for each in limits.values() if each.counts == "checks"])
    except RedisError:
        away = True
    near = sum(each.share >= 0.8 for each in found)
    over = sum(each.share >= 1 for each in found)
    fits = _narrowed(session, found, wanted)
    fits.sort(key=lambda each: (-each.share, each.limit.policy, each.limit.id, each.member))
    shown = fits[wanted.offset : wanted.offset + PAGE]
    return Standings(_lines(session, env_id, counters, shown), len(fits), len(found), near, over, away)


def _checked(counters: Counters, limits: Sequence[Limit]) -> list[Standing]:
    if not limits:
        return []
    micros = counters.now()
    at = datetime.fromtimestamp(micros / 10**6, UTC)
    by_id = {each.id: each for each in limits}
    nearest = counters.nearest(limits, micros, READ)
    return [
        Standing(by_id[quota_id], member, used, at)
        for quota_id, members in nearest.items()
        for member, used in members
        if used > 0
    ]


def _narrowed(session: Session, found: list[Standing], wanted: Wanted) -> list[Standing]:
    kept = [each for each in found if not wanted.policy or each.limit.policy == wanted.policy]
    if wanted.near:
        kept = [each for each in kept if each.share >= 0.8]
    if wanted.q:
        members = _called(session, wanted.q)
        kept = [each for each in kept if each.member in members]
    return kept


def _called(session: Session, text: str) -> set[str]:
    """Return the members whose id or name, or whose account's, holds `text`."""
    companies = select(Account.id).where(
        or_(*(column.icontains(text, autoescape=True) for column in (Account.external_id, Account.name)))
    )
    accounts = session.scalars(companies.limit(FOUND)).all()
    people = select(User.id).where(
        or_(
            User.account_id.in_(accounts),
            *(column.icontains(text, autoescape=True) for column in (User.external_id, User.name, User.email)),
        )
    )
    users = session.scalars(people.limit(FOUND)).all()
    return {f"a{each}" for each in accounts} | {f"u{each}" for each in users}


def _lines(session: Session, env_id: int, counters: Counters, shown: Sequence[Standing]) -> list[Line]:
    if not shown:
        return []
    names = queries.names(session, [each.member for each in shown])
    now = shown[0].now
    known = {each.member for each in shown if each.member[0] in "au"}
    throttled: Mapping[str, int] = requests.throttled(session, env_id, known, now - DAY, now) if known else {}
    checked = [each for each in shown if each.limit.counts == "checks"]
    refused: dict[tuple[int, str], int] = {}
    try:
        if checked:
            micros = int(checked[0].now.timestamp() * 10**6)
            counts = counters.refusals([(each.limit, each.member) for each in checked], micros)
            refused = {(each.limit.id, each.member): n for each, n in zip(checked, counts, strict=True)}
    except RedisError:
        pass
    return [
        Line(
            each,
            names.of_member(each.member),
            refused.get((each.limit.id, each.member), 0),
            throttled.get(each.member, 0),
        )
        for each in shown
    ]
