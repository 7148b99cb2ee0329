"""One user or account: what they call and since when, what fails for them, and on which days they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import func, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageDay, UsageEndpoint
from trackside_modules.usage.queries.endpoints import named
from trackside_modules.usage.queries.figures import Figures, grouped
from trackside_modules.usage.queries.scope import Scope, rows, sums
from trackside_modules.usage.queries.window import DAY, Window, floor
from trackside_modules.usage.storage import tiers

STRIP = 90
"""Days that the strip of active days shows."""


@dataclass(frozen=True, slots=True)
class CalledRow:
    """An endpoint that they called."""

    endpoint: UsageEndpoint
    figures: Figures
    quantiles: Sequence[float | None]
    since: datetime | None
    """The first day (UTC) that they called it."""


def called(session: Session, scope: Scope, window: Window) -> list[CalledRow]:
    """Return the endpoints that the scope's user or account called in the window, the most called first."""
    counted = sums(session, scope, window.start, window.until)
    figures = grouped(session, counted, counted.c.endpoint_id)
    known, first = named(session, set(figures)), _since(session, scope, list(figures))
    ids = sorted(figures, key=lambda id_: (-figures[id_].calls, id_))
    today = floor(window.now, DAY)
    return [CalledRow(known[id_], figures[id_], figures[id_].quantiles(), first.get(id_, today)) for id_ in ids]


def _since(session: Session, scope: Scope, ids: list[int]) -> dict[int, datetime]:
    """Return the first day of each endpoint; one that is not there was first called today."""
    query = select(UsageDay.endpoint_id, func.min(UsageDay.at)).group_by(UsageDay.endpoint_id)
    query = query.where(
        UsageDay.env_id == scope.env_id, tiers.one_of(UsageDay.endpoint_id, ids), scope.narrow(UsageDay)
    )
    return dict(session.execute(query).all())


@dataclass(frozen=True, slots=True)
class TurnRow:
    """Calls that went wrong for a reason of the caller: nothing there, not allowed, too many."""

    endpoint: UsageEndpoint
    status: int
    calls: int
    last: datetime


def wrong_turns(session: Session, scope: Scope, window: Window, most: int = 10) -> list[TurnRow]:
    """Return the wrong turns of the scope's user or account, the most frequent first."""
    it = rows(session, scope, window.start, window.until).c
    calls = func.sum(it.calls)
    query = (
        select(it.endpoint_id, it.status, calls, func.max(it.at))
        .where(tiers.is_wrong_turn(scope.env_id, it))
        .group_by(it.endpoint_id, it.status)
        .order_by(calls.desc(), it.endpoint_id, it.status)
        .limit(most)
    )
    found = session.execute(query).all()
    known = named(session, {row[0] for row in found})
    return [TurnRow(known[id_], status, int(calls), last) for id_, status, calls, last in found]


def days(session: Session, scope: Scope, now: datetime) -> dict[date, tuple[int, int]]:
    """Return calls and failed calls of each of the last 90 days (UTC) that had calls."""
    start = floor(now, DAY) - (STRIP - 1) * DAY
    spans = tiers.parts(session, scope.env_id, start, now + timedelta(minutes=1))
    it = tiers.of_user(scope.env_id, spans, scope.narrow).c
    day: Any = func.date_trunc("day", it.at)
    query = select(day, func.sum(it.calls), func.sum(it.server_errors)).group_by(literal_column("1"))
    return {at.date(): (int(calls), int(failed)) for at, calls, failed in session.execute(query)}


def everybody(session: Session, scope: Scope, window: Window) -> tuple[int, int]:
    """Return the wrong turns and the slow calls of the scope's user or account in the window."""
    spans = tiers.parts(session, scope.env_id, window.start, window.until)
    it = tiers.of_user(scope.env_id, spans, scope.narrow).c
    row = session.execute(select(func.sum(it.wrong_turns), func.sum(it.slow))).one()
    return int(row[0] or 0), int(row[1] or 0)
