"""The counted rows themselves: what every figure is the sum of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries.endpoints import named
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.tiers import Part, Unit


@dataclass(frozen=True, slots=True)
class CountedRow:
    """A row of `usage_minute`, `usage_hour` or `usage_day` with the names behind its numbers."""

    at: datetime
    unit: Unit
    endpoint: UsageEndpoint
    user: User
    status: int
    calls: int
    micros: int
    longest: int
    slow: int
    approximate: bool

    @property
    def mean_ms(self) -> float:
        """The mean duration in milliseconds."""
        return self.micros / self.calls / 1000


Place = tuple[datetime, int, int, int, int]
"""Where a page of rows goes on: time, endpoint, user, status of the last row shown, and what it is ranked by."""

_RANKS = {"requests": "calls", "longest": "longest"}
_KEYS = ("at", "endpoint_id", "user_id", "status")
NEWEST = "-minute"
SORTS = tuple(sign + name for name in ("minute", *_RANKS) for sign in ("-", ""))
"""The orders rows can have; with a `-` the most, or newest, first."""


def counted_rows(
    session: Session,
    scope: Scope,
    spans: Sequence[Part],
    *,
    after: Place | None,
    sort: str = NEWEST,
    limit: int = 50,
) -> tuple[list[CountedRow], Place | None]:
    """Return rows of some parts of time in the order `sort` (one of `SORTS`), and where the next ones begin."""
    if not spans:
        return [], None
    rank, down = _RANKS.get(sort.removeprefix("-"), ""), sort.startswith("-")
    found: list[Any] = []
    for some in [spans] if rank else [[part] for part in (spans[::-1] if down else spans)]:
        if len(found) <= limit:
            query = _query(scope, some, after, rank, down=down)
            found += session.execute(query.limit(limit + 1 - len(found))).all()
    rows = _named(session, spans, found[:limit])
    if len(found) <= limit:
        return rows, None
    end = found[limit - 1]
    return rows, (end.at, end.endpoint_id, end.user_id, end.status, getattr(end, rank) if rank else 0)


def _query(scope: Scope, spans: Sequence[Part], after: Place | None, rank: str, *, down: bool) -> Select[Any]:
    """Return the query for the rows of some parts in order; of one part by time, an index has them in that order."""
    it = tiers.by_user(scope.env_id, spans, scope.narrow).c
    keys: list[Any] = [it[name] for name in ((rank, *_KEYS) if rank else _KEYS)]
    query = select(*(it[name] for name in (*_KEYS, "calls", "micros", "longest", "slow", "approximate")))
    query = query.order_by(*(key.desc() if down else key for key in keys))
    if after is not None:
        last = tuple_(*(literal(part) for part in (after[:4] if not rank else (after[4], *after[:4]))))
        query = query.where(tuple_(*keys) < last if down else tuple_(*keys) > last)
    return query


def _named(session: Session, spans: Sequence[Part], found: Sequence[Any]) -> list[CountedRow]:
    endpoint_ids, user_ids = {row.endpoint_id for row in found}, {row.user_id for row in found}
    endpoints = named(session, endpoint_ids)
    users = {it.id: it for it in session.scalars(select(User).where(tiers.one_of(User.id, user_ids)))}
    return [
        CountedRow(
            row.at,
            next(part.unit for part in spans if part.start <= row.at < part.end),
            endpoints[row.endpoint_id],
            users[row.user_id],
            row.status,
            row.calls,
            row.micros,
            row.longest,
            row.slow,
            row.approximate,
        )
        for row in found
        if row.endpoint_id in endpoints and row.user_id in users
    ]
