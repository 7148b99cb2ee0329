"""Sums of a range by endpoint or user, for the shell."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside_modules.usage.models import UsageEndpoint, UsageHorizon
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.packs import matrix, quantiles
from trackside_modules.usage.storage.reach import unite

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OfEndpoint:
    """What calls of an endpoint came to; durations in seconds."""

    service: str
    method: str
    route: str
    calls: int
    errors: int
    users: int
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class OfUser:
    """What a user's calls came to; the empty id is everybody unknown."""

    user: str
    calls: int
    errors: int
    wrong_turns: int
    slow: int


def aligned(session: Session, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return a range widened to whole hours, or days, where it reaches to what is no longer kept in finer steps."""
    kept = {row.tier: row.kept_from for row in session.execute(select(UsageHorizon.tier, UsageHorizon.kept_from))}
    for tier, step in (("minute", _HOUR), ("hour", _DAY)):
        if tier in kept and start < kept[tier]:
            start -= timedelta(seconds=start.timestamp() % step.total_seconds())
        if tier in kept and end < kept[tier]:
            end += timedelta(seconds=-end.timestamp() % step.total_seconds())
    return start, end


def by_endpoint(session: Session, env_id: int, start: datetime, end: datetime) -> list[OfEndpoint]:
    """Return the endpoints that were called, those called most first."""
    it = tiers.by_endpoint(env_id, tiers.parts(session, env_id, start, end))
    rows = session.execute(select(it.c.endpoint_id, it.c.status, it.c.calls, it.c.latency, it.c.users)).all()
    ids = sorted({row.endpoint_id for row in rows})
    places = {endpoint_id: place for place, endpoint_id in enumerate(ids)}
    counts = matrix([row.latency for row in rows], [places[row.endpoint_id] for row in rows], len(ids))
    calls, errors = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
    users: list[list[bytes]] = [[] for _ in ids]
    for row in rows:
        place = places[row.endpoint_id]
        calls[place] += row.calls
        errors[place] += row.calls if row.status >= 400 else 0
        users[place].append(row.users)
    names = {each.id: each for each in session.scalars(select(UsageEndpoint).where(UsageEndpoint.id.in_(ids)))}
    named = zip(ids, calls.tolist(), errors.tolist(), users, quantiles(counts, 0.5, 0.95, 0.99), strict=True)
    found = [
        OfEndpoint(names[id_].service, names[id_].method, names[id_].route, total, bad, len(unite(who)), *times)
        for id_, total, bad, who, times in named
        if id_ in names
    ]
    return sorted(found, key=lambda row: (-row.calls, row.route))


def by_user(session: Session, env_id: int, start: datetime, end: datetime) -> list[OfUser]:
    """Return the users that called, those who called most first; merged ones count for whom they were merged into."""
    it = tiers.of_user(env_id, tiers.parts(session, env_id, start, end))
    alive = func.coalesce(User.merged_into, it.c.user_id)
    query = select(
        alive.label("user_id"),
        func.sum(it.c.calls).label("calls"),
        func.sum(it.c.client_errors + it.c.server_errors).label("errors"),
        func.sum(it.c.wrong_turns).label("wrong_turns"),
        func.sum(it.c.slow).label("slow"),
    )
    summed = query.outerjoin_from(it, User, User.id == it.c.user_id).group_by(alive).subquery()
    name = case((User.erased_at.is_not(None), "(erased)"), else_=func.coalesce(User.external_id, ""))
    rows = session.execute(
        select(name, summed.c.calls, summed.c.errors, summed.c.wrong_turns, summed.c.slow)
        .outerjoin_from(summed, User, User.id == summed.c.user_id)
        .order_by(summed.c.calls.desc(), summed.c.user_id)
    )
    return [OfUser(user, int(calls), int(errors), int(wrong), int(slow)) for user, calls, errors, wrong, slow in rows]
