"""Limits on what usage counted: how much of its window's requests everybody has made, and who crossed a level.

Nothing is refused by them. They read the same tiers as every page, so their figures are the same too.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from trackside.customers.models import UNKNOWN_USER, Account, User
from trackside.runtime import Runtime
from trackside.workspace import environments
from trackside_modules.usage.models.quota import UsageQuotaCrossing
from trackside_modules.usage.quota import crossings, queries
from trackside_modules.usage.quota.crossings import Crossing
from trackside_modules.usage.quota.rules import LEVELS, Limit, Policy, Who, member_of
from trackside_modules.usage.storage import tiers

Used = dict[tuple[int, str], int]
"""Requests of the window going on, by limit and member."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A user who called in a window."""

    who: Who
    calls: int


def used(session: Session, env_id: int, policies: Mapping[str, Policy], now: datetime) -> Used:
    """Return what was used of every limit that counts requests, in the window that it is in at `now`."""
    found: Used = defaultdict(int)
    callers: dict[int, list[Caller]] = {}
    for policy in policies.values():
        for seconds in {each.seconds for each in limits_of(policy) if each.counts == "requests"}:
            if seconds not in callers:
                callers[seconds] = _callers(session, env_id, seconds, now)
            for caller in callers[seconds]:
                limit = policy.choose(caller.who)
                if limit is not None and limit.counts == "requests" and limit.seconds == seconds:
                    found[limit.id, member_of(limit, caller.who) or ""] += caller.calls
    return dict(found)


def limits_of(policy: Policy) -> list[Limit]:
    """Return every limit of a policy."""
    of_somebody = [*policy.plans.values(), *policy.accounts.values(), *policy.users.values()]
    return [*of_somebody, *([policy.default] if policy.default else [])]


def _callers(session: Session, env_id: int, seconds: int, now: datetime) -> list[Caller]:
    start = _window(seconds, now)
    given, target, theirs, company = aliased(User), aliased(User), aliased(Account), aliased(Account)
    rows = tiers.of_user(env_id, tiers.parts(session, env_id, start, now), lambda it: it.user_id != UNKNOWN_USER)
    query = (
        select(target.id, company.id, func.coalesce(company.plan, ""), func.sum(rows.c.calls))
        .select_from(rows)
        .join(given, given.id == rows.c.user_id)
        .join(target, target.id == func.coalesce(given.merged_into, given.id))
        .outerjoin(theirs, theirs.id == target.account_id)
        .outerjoin(company, company.id == func.coalesce(theirs.merged_into, theirs.id))
        .group_by(target.id, company.id, company.plan)
    )
    return [
        Caller(Who(user_id, account_id, plan), int(calls))
        for user_id, account_id, plan, calls in session.execute(query)
    ]


def _window(seconds: int, now: datetime) -> datetime:
    start = Limit(0, 0, "", "default", "user", "requests", "window", 1, seconds).window_at(now.timestamp())
    return datetime.fromtimestamp(start, UTC)


def throttled(session: Session, env_id: int, members: set[str], start: datetime, end: datetime) -> dict[str, int]:
    """Return how often each of `members` (`a7`, `u42`) was answered 429 in `[start, end)`, as usage counted it."""
    accounts = [int(each[1:]) for each in members if each[0] == "a"]
    users = [int(each[1:]) for each in members if each[0] == "u"]
    given, target = aliased(User), aliased(User)
    theirs = (
        select(given.id)
        .join(target, target.id == func.coalesce(given.merged_into, given.id))
        .where(or_(target.id.in_(users), target.account_id.in_(accounts)))
    )
    rows = tiers.by_user(
        env_id,
        tiers.parts(session, env_id, start, end, "hour"),
        lambda it: (it.status == 429) & it.user_id.in_(theirs),
    )
    query = (
        select(target.id, target.account_id, func.sum(rows.c.calls))
        .select_from(rows)
        .join(given, given.id == rows.c.user_id)
        .join(target, target.id == func.coalesce(given.merged_into, given.id))
        .group_by(target.id, target.account_id)
    )
    found: dict[str, int] = defaultdict(int)
    for user_id, account_id, calls in session.execute(query):
        found[f"u{user_id}"] += int(calls)
        found[f"a{account_id}"] += int(calls)
    return found


def watch(runtime: Runtime) -> None:
    """Store and announce who crossed a level of a limit that counts requests."""
    now = runtime.clock.now()
    with runtime.database.session() as session:
        for environment in environments(session):
            policies = queries.policies(queries.listed(session, environment.id))
            limits = {each.id: each for policy in policies.values() for each in limits_of(policy)}
            if any(each.counts == "requests" for each in limits.values()):
                found = _crossed(limits, used(session, environment.id, policies, now), now)
                crossings.store(session, environment.id, _new(session, environment.id, found))


def _crossed(limits: Mapping[int, Limit], counted: Used, now: datetime) -> list[Crossing]:
    found = []
    for (quota_id, member), calls in counted.items():
        limit = limits[quota_id]
        since = datetime.fromtimestamp(limit.window_at(now.timestamp()), UTC)
        found += [
            Crossing(quota_id, member, level, since, calls, limit.amount, now)
            for level in LEVELS
            if calls * 100 >= level * limit.amount
        ]
    return found


def _new(session: Session, env_id: int, found: list[Crossing]) -> list[Crossing]:
    """Return those that are not stored yet: most are, minute after minute."""
    it = UsageQuotaCrossing
    if not found:
        return []
    query = select(it.quota_id, it.member, it.window_start, it.level).where(
        it.env_id == env_id,
        it.quota_id.in_({each.quota_id for each in found}),
        it.window_start >= min(each.since for each in found),
    )
    stored = {tuple(row) for row in session.execute(query)}
    return [each for each in found if (each.quota_id, each.member, each.since, each.level) not in stored]
