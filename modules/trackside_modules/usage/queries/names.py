"""What there is: services and endpoints by name, what was noticed, what waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, select
from sqlalchemy.orm import Session

from trackside.compiled import Compiled
from trackside_modules.usage.models import UsageEndpoint, UsageInbox, UsageWarning

# Composed once: each page asks them.
_SERVICES = Compiled(select(UsageEndpoint.service).where(UsageEndpoint.env_id == bindparam("env")).distinct())
_WARNINGS = Compiled(
    select(*UsageWarning.__table__.c)
    .where(UsageWarning.env_id == bindparam("env"), UsageWarning.last_seen_at >= bindparam("since"))
    .order_by(UsageWarning.last_seen_at.desc())
    .limit(20)
)
_WAITING = Compiled(
    select(func.min(UsageInbox.received_at)).where(
        UsageInbox.env_id == bindparam("env"), UsageInbox.applied_at.is_(None), UsageInbox.dead_at.is_(None)
    )
)
_ANY = select(UsageEndpoint.id).where(UsageEndpoint.env_id == bindparam("env")).limit(1)


def services(session: Session, env_id: int) -> list[str]:
    """Return the services that ever reported to an environment."""
    return sorted(row[0] for row in _SERVICES(session, env=env_id))


def warnings(session: Session, env_id: int, since: datetime) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return what was noticed since a moment, the newest first: rows of `usage_warning`."""
    return _WARNINGS(session, env=env_id, since=since)


def waiting(session: Session, env_id: int) -> datetime | None:
    """Return since when the oldest batch waits to be counted, None when all are."""
    found: datetime | None = _WAITING(session, env=env_id)[0][0]
    return found


def has_usage(session: Session, env_id: int) -> bool:
    """Whether an environment ever counted a request."""
    return session.scalar(_ANY, {"env": env_id}) is not None
