"""One group of errors with all that is known of it: samples, who met it, and versions about when it began."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside_modules.usage.models import UsageEndpoint, UsageError, UsageErrorHour, UsageSample, UsageVersion
from trackside_modules.usage.queries.window import floor
from trackside_modules.usage.reports.error_groups import Group, Wanted, described, versions
from trackside_modules.usage.storage import memory, reach, tiers


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a group, and who made it."""

    sample: UsageSample
    user: User | None


@dataclass(frozen=True, slots=True)
class Met:
    """Somebody who met an error, and how many of their calls of its endpoint ended with its status in the span.

    That is what the tiers keep, exactly: where one endpoint fails in several ways with one status, it counts them all.
    None for an error outside of requests.
    """

    user: User
    failed: int | None


@dataclass(frozen=True, slots=True)
class Affected:
    """An account, and how many of its users met an error; None for users without one."""

    account: Account | None
    users: int


@dataclass(frozen=True, slots=True)
class Detail:
    """One group with all that is known of it."""

    group: Group
    times: list[datetime]
    step: timedelta
    samples: list[Sample]
    users: list[Met] = field(default_factory=list[Met])
    """Those who met it in the span, who called last first; at most 50 of `group.users`."""
    accounts: list[Affected] = field(default_factory=list[Affected])
    versions: list[UsageVersion] = field(default_factory=list[UsageVersion])
    """Of its service, that were new since a day before it was first seen."""


def detail(session: Session, wanted: Wanted, error_id: int) -> Detail | None:
    """Return the group `error_id` in the span; None where the environment has none of that number."""
    row = session.execute(
        select(UsageError, UsageEndpoint)
        .outerjoin(UsageEndpoint, UsageEndpoint.id == UsageError.endpoint_id)
        .where(UsageError.env_id == wanted.env_id, UsageError.id == error_id)
    ).one_or_none()
    if row is None:
        return None
    error, endpoint = row
    mine = _hours(wanted), UsageErrorHour.error_id == error_id
    counted = session.execute(select(UsageErrorHour.calls, UsageErrorHour.users).where(*mine)).all()
    group = described(session, wanted, [(error, endpoint, sum(calls for calls, _ in counted), 0)])[0]
    met = list(reach.people(session).of(reach.unite(users for _, users in counted)))
    step = max(wanted.span.step, timedelta(hours=1))
    start = floor(wanted.span.start, step)
    since = error.first_seen_at - timedelta(days=1)
    return Detail(
        group,
        [start + step * place for place in range(len(group.trend))],
        step,
        _samples(session, wanted.env_id, error_id),
        _met(session, wanted, error, met),
        _accounts(session, met),
        [it for it in versions(session, wanted.env_id)[error.service] if it.first_seen_at >= since],
    )


def _hours(wanted: Wanted) -> ColumnElement[bool]:
    """Return the condition for the hours of the span, whole ones."""
    it, span = UsageErrorHour, wanted.span
    return and_(it.env_id == wanted.env_id, it.at >= memory.floor("hour", span.start), it.at < span.end)


def _met(session: Session, wanted: Wanted, error: UsageError, ids: Sequence[int], limit: int = 50) -> list[Met]:
    """Return the users of these ids who called last, the last one first."""
    query = select(User).where(User.id.in_(ids)).order_by(User.last_seen.desc().nulls_last(), User.id).limit(limit)
    users = list(session.scalars(query))
    if not (users and error.endpoint_id and error.status):
        return [Met(user, None) for user in users]
    heads = select(User.id, func.coalesce(User.merged_into, User.id))
    shown = [user.id for user in users]
    head = {
        id_: int(of) for id_, of in session.execute(heads.where(or_(User.id.in_(shown), User.merged_into.in_(shown))))
    }
    spans = tiers.parts(session, wanted.env_id, memory.floor("hour", wanted.span.start), wanted.span.until)
    rows = tiers.by_user(
        wanted.env_id,
        spans,
        lambda it: and_(it.user_id.in_(head), it.endpoint_id == error.endpoint_id, it.status == error.status),
    ).c
    failed: Counter[int] = Counter()
    for user_id, calls in session.execute(select(rows.user_id, func.sum(rows.calls)).group_by(rows.user_id)):
        failed[head[user_id]] += int(calls)
    return [Met(user, failed[user.id]) for user in users]


def _samples(session: Session, env_id: int, error_id: int, limit: int = 20) -> list[Sample]:
    query = (
        select(UsageSample, User)
        .outerjoin(User, and_(User.id == UsageSample.user_id, User.id != 0))
        .where(UsageSample.env_id == env_id, UsageSample.error_id == error_id)
        .order_by(UsageSample.at.desc(), UsageSample.id.desc())
        .limit(limit)
    )
    return [Sample(sample, user) for sample, user in session.execute(query)]


def _accounts(session: Session, users: Sequence[int], limit: int = 20) -> list[Affected]:
    count = func.count(User.id)
    query = select(Account, count).select_from(User).outerjoin(Account, Account.id == User.account_id)
    query = query.where(User.id.in_(users)).group_by(Account.id).order_by(count.desc(), Account.id).limit(limit)
    return [Affected(account, number) for account, number in session.execute(query)]
