"""What usage adds to other rooms: the last 24 hours on a user's and an account's page, steps of the checklist."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import url_for
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside.module import Mark, Subject
from trackside.runtime import Runtime
from trackside_modules.usage import queries, releases
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries import Scope
from trackside_modules.usage.window import MINUTE, window


def last_day(runtime: Runtime, session: Session, subject: Subject) -> Mapping[str, Any] | None:
    """Return the last 24 hours of a user or an account as plain values; None where there is nobody to count."""
    user_ids = _user_ids(subject)
    if session.scalar(user_ids.limit(1)) is None:
        return None
    now = runtime.clock.now()
    figures = queries.of_users(session, subject.env_id, user_ids, window("24h", now))
    p50, p95, _ = figures.quantiles()
    return {
        "calls": figures.calls,
        "client_errors": figures.client_errors,
        "server_errors": figures.server_errors,
        "p50_ms": p50,
        "p95_ms": p95,
        "hours": queries.by_hour(session, subject.env_id, user_ids, now),
        "user_id": subject.id if subject.kind == "user" else None,
        "endpoints": _endpoints(session, subject, now),
    }


def _endpoints(session: Session, subject: Subject, now: datetime) -> list[Mapping[str, Any]]:
    """Return the endpoints that a user calls most, with their figures; none for an account."""
    if subject.kind != "user":
        return []
    top = queries.top_endpoints(session, Scope(subject.env_id, user_id=subject.id), window("24h", now), limit=5)
    return [
        {
            "id": row.endpoint.id,
            "method": row.endpoint.method,
            "route": row.endpoint.route,
            "calls": row.figures.calls,
            "server_errors": row.figures.server_errors,
            "client_errors": row.figures.client_errors,
            "p95_ms": row.figures.quantiles()[1],
        }
        for row in top
    ]


def _user_ids(subject: Subject) -> Select[int]:
    """Return the users that a user or account stands for, those merged into them included."""
    if subject.kind == "user":
        return queries.everyone(subject.id)
    theirs = select(User.id).where(User.account_id == subject.id, User.merged_into.is_(None))
    return select(User.id).where(or_(User.id.in_(theirs), User.merged_into.in_(theirs)))


def marks(_runtime: Runtime, session: Session, env_id: int, start: datetime, end: datetime) -> list[Mark]:
    """Return a mark for each version of a service first seen in `[start, end)`; it opens the rows around it."""
    return [
        Mark(
            it.first_seen_at,
            "version",
            f"{it.service} {it.version} first seen",
            url_for(
                "usage.rows",
                service=it.service,
                range="6h",  # whose steps are five minutes: those around the moment
                at=(it.first_seen_at.replace(second=0, microsecond=0) - MINUTE).isoformat(),
            ),
        )
        for it in releases.first_seen(session, env_id, start, end)
    ]


def first_request_sent(_runtime: Runtime, session: Session) -> bool:
    """Whether any environment ever counted a request."""
    return session.scalar(select(UsageEndpoint.id).limit(1)) is not None
