"""What usage adds to other rooms: the last 24 hours on a user's and an account's page, steps of the checklist."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import url_for
from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from trackside.module import Mark, Subject
from trackside.runtime import Runtime
from trackside_modules.usage import queries
from trackside_modules.usage.folding import releases
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries import Scope
from trackside_modules.usage.queries.window import MINUTE, window
from trackside_modules.usage.reports import lately

FIRST_REQUEST_SENT = select(exists(select(UsageEndpoint.id)))
"""Whether any environment ever counted a request."""


def last_day(runtime: Runtime, session: Session, subject: Subject) -> Mapping[str, Any] | None:
    """Return the last 24 hours and 30 days of a user or account as plain values; None where nobody is to be counted."""
    user_ids = queries.everyone(subject.id) if subject.kind == "user" else queries.everyone_of(subject.id)
    if session.scalar(user_ids.limit(1)) is None:
        return None
    now = runtime.clock.now()
    day = lately.last_hours(session, subject.env_id, user_ids, now)
    month = lately.last_days(session, subject.env_id, user_ids, now)
    return {
        "calls": day.total.calls,
        "client_errors": day.total.client_errors,
        "server_errors": day.total.server_errors,
        "wrong_turns": day.total.wrong_turns,
        "slow": day.total.slow,
        "p50_ms": day.p50_ms,
        "p95_ms": day.p95_ms,
        "hours": [it.calls for it in day.each],
        "days": [it.calls for it in month.each],
        "active_days": month.active,
        "trend": month.trend,
        "user_id": subject.id if subject.kind == "user" else None,
        "account_id": subject.id if subject.kind == "account" else None,
        "endpoints": _endpoints(session, subject, now),
        "errors": _errors(session, subject, user_ids),
    }


def _errors(session: Session, subject: Subject, user_ids: Select[int]) -> list[Mapping[str, Any]]:
    """Return the last failures, the newest first; `user` only where it is not plain who they happened to."""
    return [
        {
            "at": sample.at.isoformat(),
            "error": sample.error,
            "message": sample.message,
            "status": sample.status,
            "error_id": sample.error_id,
            "method": endpoint.method if endpoint else "",
            "route": endpoint.route if endpoint else "",
            "user": user.label if subject.kind == "account" else "",
        }
        for sample, endpoint, user in lately.last_errors(session, subject.env_id, user_ids)
    ]


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
