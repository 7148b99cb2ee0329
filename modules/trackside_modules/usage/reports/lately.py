"""How users stand, together: what their calls of some days came to, day by day, and against the days before.

The read model of context cards, and of what judges a customer: `last_days(session, env_id, everyone_of(7), now)`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside_modules.usage.models import UsageEndpoint, UsageSample
from trackside_modules.usage.queries.window import DAY, HOUR, MINUTE, floor
from trackside_modules.usage.storage import packs, tiers
from trackside_modules.usage.storage.tiers import Unit


@dataclass(frozen=True, slots=True)
class Came:
    """What calls of an hour or day came to."""

    calls: int = 0
    client_errors: int = 0
    server_errors: int = 0
    wrong_turns: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Some days (or hours), oldest first and the empty ones too; the last one is going on."""

    starts: list[datetime]
    each: list[Came]
    p50_ms: float | None
    p95_ms: float | None
    before: int = 0
    """Calls in as many days before."""
    total: Came = field(default_factory=Came)

    @property
    def active(self) -> int:
        """On how many of the days there were calls."""
        return sum(it.calls > 0 for it in self.each)

    @property
    def trend(self) -> float | None:
        """The change of calls against the days before: 0.5 is half as many again; None without calls then."""
        return self.total.calls / self.before - 1 if self.before else None


def last_days(session: Session, env_id: int, user_ids: Select[int], now: datetime, days: int = 30) -> Standing:
    """Return how users stood in the last `days` days of UTC, today included, against as many before.

    The days before end at today's time of day, so that a day half over is compared with half a day.
    """
    start = floor(now, DAY) - (days - 1) * DAY
    found = _read(session, env_id, user_ids, (start, now), "day")
    rows = tiers.of_user(
        env_id,
        tiers.parts(session, env_id, start - days * DAY, floor(now - days * DAY, MINUTE)),
        _mine(user_ids),
        ("calls",),
    )
    before = session.scalar(select(func.coalesce(func.sum(rows.c.calls), 0)))
    return Standing(found.starts, found.each, found.p50_ms, found.p95_ms, int(before or 0), found.total)


def last_hours(session: Session, env_id: int, user_ids: Select[int], now: datetime, hours: int = 24) -> Standing:
    """Return how users stood in the last hours, the one going on included."""
    return _read(session, env_id, user_ids, (floor(now, HOUR) - (hours - 1) * HOUR, now), "hour")


def _read(
    session: Session, env_id: int, user_ids: Select[int], span: tuple[datetime, datetime], unit: Unit
) -> Standing:
    start, now = span
    step = tiers.LENGTHS[unit]
    spans = tiers.parts(session, env_id, start, now + MINUTE, unit)
    it = tiers.of_user(env_id, spans, _mine(user_ids)).c
    bucket = func.date_bin(step, it.at, start)
    columns = (it.calls, it.client_errors, it.server_errors, it.wrong_turns, it.slow)
    query = select(bucket, *map(func.sum, columns)).group_by(literal_column("1"))
    found = {at: Came(*map(int, counted)) for at, *counted in session.execute(query)}
    starts = [start + step * place for place in range((now - start) // step + 1)]
    total = Came(*(sum(getattr(each, name) for each in found.values()) for name in Came.__slots__))
    packed = session.execute(select(it.latency, func.count()).group_by(it.latency)).all()
    counts = packs.matrix([row[0] for row in packed], [0] * len(packed), 1, [row[1] for row in packed])
    ((p50, p95),) = packs.quantiles(counts, 0.5, 0.95)
    return Standing(starts, [found.get(at, Came()) for at in starts], _ms(p50), _ms(p95), total=total)


def _mine(user_ids: Select[int]) -> tiers.Narrow:
    def narrow(table: Any) -> ColumnElement[bool]:
        return tiers.among(table.user_id, user_ids)

    return narrow


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def last_errors(
    session: Session, env_id: int, user_ids: Select[int], limit: int = 5
) -> list[tuple[UsageSample, UsageEndpoint | None, User]]:
    """Return the last requests of users that failed on the server's side, as far as single requests were sent."""
    query = (
        select(UsageSample, UsageEndpoint, User)
        .join(User, User.id == UsageSample.user_id)
        .outerjoin(UsageEndpoint, UsageEndpoint.id == UsageSample.endpoint_id)
        .where(UsageSample.env_id == env_id, tiers.among(UsageSample.user_id, user_ids))
        .where(or_(UsageSample.status >= 500, UsageSample.error != ""))
        .order_by(UsageSample.at.desc(), UsageSample.id.desc())
        .limit(limit)
    )
    return [(sample, endpoint, user) for sample, endpoint, user in session.execute(query)]
