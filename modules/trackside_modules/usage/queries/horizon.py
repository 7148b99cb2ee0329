"""How fine a span can still be shown: minutes are kept for days, hours for months, days for ever."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageHorizon

_NEXT = {"minute": timedelta(hours=1), "hour": timedelta(days=1)}


def finest_step(session: Session, start: datetime) -> timedelta:
    """Return the length of the finest buckets that are kept of all time since `start`."""
    finest = timedelta(minutes=1)
    for tier, kept_from in session.execute(select(UsageHorizon.tier, UsageHorizon.kept_from)):
        if start < kept_from:
            finest = max(finest, _NEXT[tier])
    return finest
