"""Errors in groups, and which endpoints fail: how often in a span, since when, since which version, and for whom."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import BigInteger, ColumnElement, and_, func, literal, literal_column, or_, select, tuple_
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside_modules.usage.models import UsageEndpoint, UsageError, UsageErrorHour, UsageSample, UsageVersion
from trackside_modules.usage.queries.window import Window, floor
from trackside_modules.usage.storage import closed, crowds, errors, failures, memory, reach, sums, tiers

_SOON = timedelta(hours=1)
"""An error first seen within this time of a version's first sight came with it, as far as one can tell."""
ORDERS = ("-calls", "-seen", "-first")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for; empty is everything."""

    env_id: int
    span: Window
    service: str = ""
    endpoint_id: int | None = None
    status: str = ""
    """`4` or `5` for a class, or one status such as `503`."""
    q: str = ""
    only_new: bool = False
    order: str = "-calls"


@dataclass(frozen=True, slots=True)
class Group:
    """Failures alike, in a span."""

    error: UsageError
    endpoint: UsageEndpoint | None
    calls: int
    users: int
    trend: list[float | None]
    """Calls in each bucket of the span."""
    is_new: bool
    """Whether it was first seen in the span."""
    version: str
    """The version it came with, as far as one can tell; empty where none."""


@dataclass(frozen=True, slots=True)
class Failing:
    """An endpoint that failed, exactly: calls by status of 400 and more, of all its calls; users who met it."""

    endpoint: UsageEndpoint
    calls: int
    statuses: dict[int, int]
    users: int

    def of(self, digit: int) -> int:
        """Return the calls with a status of this class."""
        return sum(calls for status, calls in self.statuses.items() if status // 100 == digit)

    @property
    def share(self) -> float:
        """The share of its calls that failed on the server's side."""
        return self.of(5) / self.calls if self.calls else 0.0


def groups(
    session: Session, wanted: Wanted, after: tuple[int, int] | None = None, limit: int | None = 50
) -> tuple[list[Group], tuple[int, int] | None]:
    """Return the groups with failures in the span, and the place (rank, id) where the next begin."""
    it = errors.of(wanted.env_id, _plan(session, wanted, "week", "day")).c
    counted = select(it.error_id, func.sum(it.calls).label("calls")).group_by(it.error_id).subquery()
    ranks: dict[str, ColumnElement[Any]] = {
        "-calls": counted.c.calls.cast(BigInteger),
        "-seen": func.extract("epoch", UsageError.last_seen_at).cast(BigInteger),
        "-first": func.extract("epoch", UsageError.first_seen_at).cast(BigInteger),
    }
    rank = ranks[wanted.order]
    query = (
        select(UsageError, UsageEndpoint, counted.c.calls, rank.label("rank"))
        .join(counted, counted.c.error_id == UsageError.id)
        .outerjoin(UsageEndpoint, UsageEndpoint.id == UsageError.endpoint_id)
        .where(*_narrowed(wanted))
        .order_by(rank.desc(), UsageError.id.desc())
        .limit(limit + 1 if limit else None)
    )
    if after is not None:
        query = query.where(tuple_(rank, UsageError.id) < tuple_(*(literal(part, BigInteger) for part in after)))
    rows = session.execute(query).all()
    last = rows[limit - 1] if limit and len(rows) > limit else None
    return _described(session, wanted, rows[:limit]), (int(last[3]), last[0].id) if last else None


def _hours(wanted: Wanted) -> ColumnElement[bool]:
    """Return the condition for the hours of the span, whole ones."""
    it, span = UsageErrorHour, wanted.span
    return and_(it.env_id == wanted.env_id, it.at >= memory.floor("hour", span.start), it.at < span.end)


def _plan(session: Session, wanted: Wanted, *units: memory.Unit) -> memory.Plan:
    """Return how the hours of the span are read, whole ones."""
    span = wanted.span
    return memory.plan(session, wanted.env_id, memory.floor("hour", span.start), span.end, units)


def _narrowed(wanted: Wanted) -> list[ColumnElement[bool]]:
    it = UsageError
    found = [it.env_id == wanted.env_id]
    if wanted.service:
        found.append(it.service == wanted.service)
    if wanted.endpoint_id is not None:
        found.append(it.endpoint_id == wanted.endpoint_id)
    if len(wanted.status) == 1:
        found.append(it.status.between(int(wanted.status) * 100, int(wanted.status) * 100 + 99))
    elif wanted.status:
        found.append(it.status == int(wanted.status))
    if wanted.only_new:
        found.append(it.first_seen_at >= wanted.span.start)
    if wanted.q:
        columns = (it.error, it.message, UsageEndpoint.route)
        found.append(or_(*(column.icontains(wanted.q, autoescape=True) for column in columns)))
    return found


def _described(session: Session, wanted: Wanted, rows: Sequence[Any]) -> list[Group]:
    ids = [row[0].id for row in rows]
    step = max(wanted.span.step, timedelta(hours=1))
    start = floor(wanted.span.start, step)
    buckets = -((start - wanted.span.end) // step)
    times = [int((start + step * place).timestamp()) for place in range(buckets)]
    trends = _trends(session, wanted, ids, start, step)
    planned = _plan(session, wanted, "week", "day")
    met: dict[int, BitMap64] = defaultdict(BitMap64)
    for users in closed.pieces(
        session, ("errors", wanted.env_id, *ids), planned, lambda plan: _met_of(session, wanted, plan, ids)
    ):
        for id_, known in users.items():
            met[id_] |= known
    who, released = reach.people(session), _versions(session, wanted.env_id)
    return [
        Group(
            error,
            endpoint,
            int(calls),
            len(who.of(met[error.id])),
            [trends.get((error.id, at), 0) for at in times],
            error.first_seen_at >= wanted.span.start,
            came_with(released[error.service], error.first_seen_at),
        )
        for error, endpoint, calls, _ in rows
    ]


def _met_of(session: Session, wanted: Wanted, planned: memory.Plan, ids: Sequence[int]) -> dict[int, BitMap64]:
    """Return who met these errors in a plan."""
    it = errors.of(wanted.env_id, planned, lambda table: tiers.one_of(table.error_id, ids)).c
    return _united(session.execute(select(it.error_id, *sums.hung(it.users)).group_by(it.error_id)))


def _trends(
    session: Session, wanted: Wanted, ids: Sequence[int], start: datetime, step: timedelta
) -> dict[tuple[int, int], int]:
    """Return the calls of these errors by bucket (seconds)."""
    days: tuple[memory.Unit, ...] = ("day",) if step % timedelta(days=1) == timedelta() else ()
    it = errors.of(wanted.env_id, _plan(session, wanted, *days), lambda table: tiers.one_of(table.error_id, ids)).c
    at = func.extract("epoch", func.date_bin(step, it.at, start)).label("bin")
    query = select(it.error_id, at, func.sum(it.calls).label("calls")).group_by(it.error_id, literal_column("2"))
    each = query.subquery().c
    columns = session.execute(select(*map(crowds.run, (each.error_id, each.bin, each.calls)))).one()
    id_, bins, calls = (crowds.numbers(column).tolist() for column in columns)
    return dict(zip(zip(id_, bins, strict=True), calls, strict=True))


def _versions(session: Session, env_id: int) -> dict[str, list[UsageVersion]]:
    found: dict[str, list[UsageVersion]] = defaultdict(list)
    query = select(UsageVersion).where(UsageVersion.env_id == env_id).order_by(UsageVersion.first_seen_at)
    for version in session.scalars(query):
        found[version.service].append(version)
    return found


def came_with(released: Sequence[UsageVersion], first_seen: datetime) -> str:
    """Return the version that was first seen soon before an error was; the first one ever says nothing."""
    for version in reversed(released[1:]):
        if timedelta() <= first_seen - version.first_seen_at <= _SOON:
            return version.version
    return ""


def failing(session: Session, wanted: Wanted, limit: int = 8) -> list[Failing]:
    """Return the endpoints with the most calls that failed on the server's side, then those most refused."""
    planned = memory.plan(session, wanted.env_id, wanted.span.start, wanted.span.until, ("week", "day", "hour"))
    statuses: dict[int, Counter[int]] = defaultdict(Counter)
    which = (wanted.env_id, wanted.service, wanted.endpoint_id)
    for found in closed.pieces(session, ("failing", which), planned, lambda plan: _statuses(session, wanted, plan)):
        for (id_, status), calls in found.items():
            statuses[id_][status] += calls
    top = sorted(statuses, key=lambda id_: (-_share(statuses[id_], 5), -_share(statuses[id_], 4), id_))[:limit]
    if not top:
        return []
    totals: Counter[int] = Counter()
    met: dict[int, BitMap64] = defaultdict(BitMap64)
    what = ("met", wanted.env_id, tuple(top))
    for every, users in closed.pieces(session, what, planned, lambda plan: _met_by(session, wanted, plan, top)):
        totals.update(every)
        for id_, known in users.items():
            met[id_] |= known
    named = {it.id: it for it in session.scalars(select(UsageEndpoint).where(tiers.one_of(UsageEndpoint.id, top)))}
    who = reach.people(session)
    return [
        Failing(
            named[id_],
            totals[id_],
            dict(sorted(statuses[id_].items(), reverse=True)),
            len(who.of(met[id_])),
        )
        for id_ in top
    ]


def _statuses(session: Session, wanted: Wanted, planned: memory.Plan) -> dict[tuple[int, int], int]:
    """Return the failed calls of a plan by endpoint and status."""
    rows = failures.of(wanted.env_id, planned, _at_endpoints(wanted)).c
    query = select(rows.endpoint_id, rows.status, func.sum(rows.calls)).group_by(rows.endpoint_id, rows.status)
    return {(id_, status): int(calls) for id_, status, calls in session.execute(query)}


def _met_by(
    session: Session, wanted: Wanted, planned: memory.Plan, top: list[int]
) -> tuple[dict[int, int], dict[int, BitMap64]]:
    """Return all calls of some endpoints in a plan, and who met a failure of each."""
    every = sums.of(wanted.env_id, planned, lambda table: tiers.one_of(table.endpoint_id, top)).c
    summed = session.execute(select(every.endpoint_id, func.sum(every.calls)).group_by(every.endpoint_id))
    rows = failures.of(wanted.env_id, planned, lambda table: tiers.one_of(table.endpoint_id, top), whole=True).c
    met = session.execute(select(rows.endpoint_id, *sums.hung(rows.users)).group_by(rows.endpoint_id))
    return {id_: int(calls) for id_, calls in summed}, _united(met)


def _united(rows: Iterable[Any]) -> dict[int, BitMap64]:
    """Return the sets of users by id, given rows of it and what `hung` selects."""
    return {id_: reach.unite(sums.cut(bytes(users), bytes(lengths))) for id_, users, lengths in rows}


def _at_endpoints(wanted: Wanted) -> tiers.Narrow | None:
    """Return the condition for the endpoints wanted, where not all of them are."""
    if wanted.endpoint_id is not None and not wanted.service:
        return lambda table: table.endpoint_id == wanted.endpoint_id
    if not wanted.service:
        return None
    mine = select(UsageEndpoint.id).where(
        UsageEndpoint.env_id == wanted.env_id, UsageEndpoint.service == wanted.service
    )
    if wanted.endpoint_id is not None:
        mine = mine.where(UsageEndpoint.id == wanted.endpoint_id)
    return lambda table: table.endpoint_id.in_(mine)


def any_known(session: Session, env_id: int) -> bool:
    """Whether a service of the environment ever told of an error."""
    return session.scalar(select(UsageError.id).where(UsageError.env_id == env_id).limit(1)) is not None


def _share(statuses: Mapping[int, int], digit: int) -> int:
    return sum(calls for status, calls in statuses.items() if status // 100 == digit)


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
    group = _described(session, wanted, [(error, endpoint, sum(calls for calls, _ in counted), 0)])[0]
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
        [it for it in _versions(session, wanted.env_id)[error.service] if it.first_seen_at >= since],
    )


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
