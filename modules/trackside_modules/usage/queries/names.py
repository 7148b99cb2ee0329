"""What there is: services and endpoints by name, what was noticed, what waits."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint, UsageInbox, UsageWarning

# Composed once: each page asks them.
_SERVICES = select(UsageEndpoint.service).where(UsageEndpoint.env_id == bindparam("env")).distinct()
_ANY = select(UsageEndpoint.id).where(UsageEndpoint.env_id == bindparam("env")).limit(1)


def services(session: Session, env_id: int) -> list[str]:
    """Return the services that ever reported to an environment."""
    return sorted(session.scalars(_SERVICES, {"env": env_id}))


def warnings(session: Session, env_id: int, since: datetime) -> Sequence[UsageWarning]:
    """Return what was noticed since a moment, the newest first."""
    query = select(UsageWarning).where(UsageWarning.env_id == env_id, UsageWarning.last_seen_at >= since)
    return session.scalars(query.order_by(UsageWarning.last_seen_at.desc()).limit(20)).all()


def waiting(session: Session, env_id: int) -> datetime | None:
    """Return since when the oldest batch waits to be counted, None when all are."""
    query = select(func.min(UsageInbox.received_at)).where(
        UsageInbox.env_id == env_id, UsageInbox.applied_at.is_(None), UsageInbox.dead_at.is_(None)
    )
    return session.scalar(query)


def has_usage(session: Session, env_id: int) -> bool:
    """Whether an environment ever counted a request."""
    return session.scalar(_ANY, {"env": env_id}) is not None
