"""Figures of what calls came to: of a range, of each of its buckets, by endpoint, of users."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from trackside.customers.models import User
from trackside_modules.usage.histogram import Histogram, merge, percentiles, unpack
from trackside_modules.usage.models import UsageEndpoint, UsageMinute
from trackside_modules.usage.window import Window

_CALLS = func.coalesce(func.sum(UsageMinute.calls), 0)
_CLIENT = func.coalesce(func.sum(UsageMinute.calls).filter(UsageMinute.status.between(400, 499)), 0)
_SERVER = func.coalesce(func.sum(UsageMinute.calls).filter(UsageMinute.status >= 500), 0)


@dataclass(slots=True)
class Figures:
    """What calls came to: numbers, errors, durations."""

    calls: int = 0
    client_errors: int = 0
    server_errors: int = 0
    latency: Histogram = field(default_factory=dict)
    approximate: bool = False

    def add(self, other: "Figures") -> None:
        """Add another's calls to these."""
        self.calls += other.calls
        self.client_errors += other.client_errors
        self.server_errors += other.server_errors
        merge(self.latency, other.latency)
        self.approximate |= other.approximate

    @property
    def error_rate(self) -> float | None:
        """The share of calls that failed on the server's side; None without calls."""
        return self.server_errors / self.calls if self.calls else None

    @property
    def client_error_rate(self) -> float | None:
        """The share of calls that the server refused; None without calls."""
        return self.client_errors / self.calls if self.calls else None

    def quantiles(self) -> list[float | None]:
        """Return p50, p95 and p99 in milliseconds."""
        return [None if it is None else it * 1000 for it in percentiles(self.latency, 0.5, 0.95, 0.99)]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose usage: an environment, and where wanted one service, endpoint, user, or a kind of status."""

    env_id: int
    service: str = ""
    endpoint_id: int | None = None
    user_id: int | None = None
    status: str = ""
    """`4` or `5` for a class, empty for all."""

    def where(self, start: datetime, end: datetime) -> ColumnElement[bool]:
        """Return the condition on `usage_minute` for minutes in `[start, end)`."""
        found = [UsageMinute.env_id == self.env_id, UsageMinute.minute >= start, UsageMinute.minute < end]
        if self.service:
            ids = select(UsageEndpoint.id).where(
                UsageEndpoint.env_id == self.env_id, UsageEndpoint.service == self.service
            )
            found.append(UsageMinute.endpoint_id.in_(ids))
        if self.endpoint_id is not None:
            found.append(UsageMinute.endpoint_id == self.endpoint_id)
        if self.user_id is not None:
            found.append(UsageMinute.user_id.in_(everyone(self.user_id)))
        if self.status in ("4", "5"):
            found.append(UsageMinute.status.between(int(self.status) * 100, int(self.status) * 100 + 99))
        return and_(*found)


def everyone(user_id: int) -> Select[int]:
    """Return the user with all that were merged into them: rows written before a merge keep the old number."""
    return select(User.id).where(or_(User.id == user_id, User.merged_into == user_id))


def series(session: Session, scope: Scope, window: Window) -> dict[datetime, Figures]:
    """Return the figures of each bucket of the window that had calls."""
    return _grouped(session, scope, window, func.date_bin(window.step, UsageMinute.minute, window.start))


def _grouped(
    session: Session, scope: Scope, window: Window, by: ColumnElement[Any] | InstrumentedAttribute[int]
) -> dict[Any, Figures]:
    """Return the figures by a column; rows with equal histograms are taken together, they are many."""
    where = scope.where(window.start, min(window.end, window.now))
    key = by.label("key")
    found: dict[Any, Figures] = {}
    for at, calls, client, server in session.execute(select(key, _CALLS, _CLIENT, _SERVER).where(where).group_by(key)):
        found[at] = Figures(int(calls), int(client), int(server))
    times, rough = func.count(), func.bool_or(UsageMinute.approximate)
    packed = select(key, UsageMinute.latency, times, rough).where(where).group_by(key, UsageMinute.latency)
    for at, latency, count, approximate in session.execute(packed):
        merge(found[at].latency, unpack(latency), count)
        found[at].approximate |= approximate
    return found


def total(buckets: dict[Any, Figures]) -> Figures:
    """Return the sum of all buckets."""
    summed = Figures()
    for each in buckets.values():
        summed.add(each)
    return summed


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint with its figures."""

    endpoint: UsageEndpoint
    figures: Figures
    users: int


def top_endpoints(session: Session, scope: Scope, window: Window, limit: int = 10) -> list[EndpointRow]:
    """Return the endpoints with the most calls."""
    where = scope.where(window.start, min(window.end, window.now))
    users = func.count(UsageMinute.user_id.distinct()).filter(UsageMinute.user_id != 0)
    query = select(UsageMinute.endpoint_id, users).where(where).group_by(UsageMinute.endpoint_id)
    ranked = session.execute(query.order_by(_CALLS.desc(), UsageMinute.endpoint_id).limit(limit)).all()
    ids = [row[0] for row in ranked]
    if not ids:
        return []
    named = {it.id: it for it in session.scalars(select(UsageEndpoint).where(UsageEndpoint.id.in_(ids)))}
    figures = {
        id_: total(_grouped(session, _of(scope, endpoint_id=id_), window, UsageMinute.endpoint_id)) for id_ in ids
    }
    return [EndpointRow(named[id_], figures[id_], count) for id_, count in ranked]


def _of(scope: Scope, *, endpoint_id: int) -> Scope:
    return Scope(scope.env_id, scope.service, endpoint_id, scope.user_id, scope.status)


def active_users(session: Session, scope: Scope, now: datetime, within: timedelta = timedelta(minutes=5)) -> int:
    """Return how many known users called lately."""
    this = now.replace(second=0, microsecond=0)
    where = scope.where(this - within, this + timedelta(minutes=1))
    counted = session.scalar(select(func.count(UsageMinute.user_id.distinct())).where(where, UsageMinute.user_id != 0))
    return counted or 0


def unknown_share(session: Session, scope: Scope, window: Window) -> float | None:
    """Return the share of calls without a known user; None without calls."""
    where = scope.where(window.start, window.end)
    unknown = func.coalesce(func.sum(UsageMinute.calls).filter(UsageMinute.user_id == 0), 0)
    calls, nobody = session.execute(select(_CALLS, unknown).where(where)).one()
    return float(nobody) / float(calls) if calls else None


def by_hour(session: Session, env_id: int, user_ids: Select[int], now: datetime) -> list[int | None]:
    """Return the calls of users in each of the last 24 hours."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    hour = func.date_trunc("hour", UsageMinute.minute)
    where = Scope(env_id).where(start, now + timedelta(minutes=1))
    query = select(hour, _CALLS).where(where, UsageMinute.user_id.in_(user_ids)).group_by(hour)
    counted: dict[datetime, int] = defaultdict(int)
    for at, calls in session.execute(query):
        counted[at] = int(calls)
    return [counted[start + timedelta(hours=place)] for place in range(24)]


def of_users(session: Session, env_id: int, user_ids: Select[int], window: Window) -> Figures:
    """Return the figures of users together."""
    where = Scope(env_id).where(window.start, window.end)
    mine = UsageMinute.user_id.in_(user_ids)
    calls, client, server = session.execute(select(_CALLS, _CLIENT, _SERVER).where(where, mine)).one()
    found = Figures(int(calls), int(client), int(server))
    packed = select(UsageMinute.latency, func.count()).where(where, mine).group_by(UsageMinute.latency)
    for latency, count in session.execute(packed):
        merge(found.latency, unpack(latency), count)
    return found
