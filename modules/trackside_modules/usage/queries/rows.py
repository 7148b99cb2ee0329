"""The counted rows themselves: what every figure is the sum of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from trackside.customers.models import User
from trackside_modules.usage.models import UsageEndpoint, UsageMinute
from trackside_modules.usage.queries.figures import Scope


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """A row of `usage_minute` with the names behind its numbers."""

    minute: UsageMinute
    endpoint: UsageEndpoint
    user: User

    @property
    def mean_ms(self) -> float:
        """The mean duration in milliseconds."""
        return self.minute.micros / self.minute.calls / 1000


Place = tuple[datetime, int, int, int, int]
"""Where a page of rows goes on: minute, endpoint, user, status of the last row shown, and what it is ranked by."""

_RANKS: dict[str, InstrumentedAttribute[int]] = {"requests": UsageMinute.calls, "longest": UsageMinute.longest}
NEWEST = "-minute"
SORTS = tuple(sign + name for name in ("minute", *_RANKS) for sign in ("-", ""))
"""The orders rows can have; with a `-` the most, or newest, first."""


def minute_rows(
    session: Session,
    scope: Scope,
    start: datetime,
    end: datetime,
    *,
    after: Place | None,
    sort: str = NEWEST,
    limit: int = 50,
) -> tuple[list[MinuteRow], Place | None]:
    """Return rows in the order `sort` (one of `SORTS`), and where the next ones begin."""
    rank = _RANKS.get(sort.removeprefix("-"))
    own = (UsageMinute.minute, UsageMinute.endpoint_id, UsageMinute.user_id, UsageMinute.status)
    keys: tuple[InstrumentedAttribute[Any], ...] = own if rank is None else (rank, *own)
    query: Select[UsageMinute, UsageEndpoint, User] = (
        select(UsageMinute, UsageEndpoint, User)
        .join(UsageEndpoint, UsageEndpoint.id == UsageMinute.endpoint_id)
        .join(User, User.id == UsageMinute.user_id)
        .where(scope.where(start, end))
        .order_by(*(key.desc() if sort.startswith("-") else key for key in keys))
        .limit(limit + 1)
    )
    if after is not None:
        here = tuple_(*keys)
        last = tuple_(*(literal(part) for part in (after[:4] if rank is None else (after[4], *after[:4]))))
        query = query.where(here < last if sort.startswith("-") else here > last)
    found = [MinuteRow(minute, endpoint, user) for minute, endpoint, user in session.execute(query)]
    if len(found) <= limit:
        return found, None
    it = found[limit - 1].minute
    return found[:limit], (
        it.minute,
        it.endpoint_id,
        it.user_id,
        it.status,
        getattr(it, rank.key) if rank is not None else 0,
    )
