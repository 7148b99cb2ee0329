"""Who sends what: services by name, with their signals and processes."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint, UsageInstance, UsageRoute, UsageSource, UsageVersion
from trackside_modules.usage.reports.advice import Service

INSTANCES = 50
"""Processes shown of a service, the newest."""


def senders(session: Session, env_id: int, *, name: str | None = None, q: str = "") -> list[Service]:
    """Return the services that ever sent anything: all, the one called `name`, or those with `q` in their name."""
    query = select(UsageSource).where(UsageSource.env_id == env_id)
    if name is not None:
        query = query.where(UsageSource.service == name)
    if q:
        query = query.where(UsageSource.service.icontains(q, autoescape=True))
    signals: dict[str, dict[str, UsageSource]] = defaultdict(dict)
    for it in session.scalars(query):
        signals[it.service][it.signal] = it
    instances: dict[str, list[UsageInstance]] = defaultdict(list)
    processes = select(UsageInstance).where(UsageInstance.env_id == env_id)
    if name is not None:
        processes = processes.where(UsageInstance.service == name)
    for process in session.scalars(processes.order_by(UsageInstance.last_seen_at.desc())):
        if len(instances[process.service]) < INSTANCES:
            instances[process.service].append(process)
    counted = select(UsageVersion.service, func.count()).where(UsageVersion.env_id == env_id)
    rows = session.execute(counted.group_by(UsageVersion.service))
    versions = Counter({service: count for service, count in rows})  # noqa: C416 - a row is no pair to a type checker
    return [
        Service(service, _ordered(signals[service]), instances[service], versions[service])
        for service in sorted(signals, key=str.casefold)
    ]


def _ordered(signals: dict[str, UsageSource]) -> dict[str, UsageSource]:
    return {name: signals[name] for name in ("metrics", "traces", "logs", "events") if name in signals}


def never_called(session: Session, env_id: int, service: str, limit: int = 50) -> tuple[Sequence[UsageRoute], int]:
    """Return the endpoints that a service says it has and nobody ever called, and how many there are."""
    called = select(UsageEndpoint.id).where(
        UsageEndpoint.env_id == env_id,
        UsageEndpoint.service == service,
        UsageEndpoint.method == UsageRoute.method,
        UsageEndpoint.route == UsageRoute.route,
    )
    told = (UsageRoute.env_id == env_id, UsageRoute.service == service, ~called.exists())
    total = session.scalar(select(func.count()).select_from(UsageRoute).where(*told)) or 0
    query = select(UsageRoute).where(*told).order_by(UsageRoute.route, UsageRoute.method)
    return session.scalars(query.limit(limit)).all(), total
