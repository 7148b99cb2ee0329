"""The last hours of users together: what the cards on their pages tell."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage import tiers
from trackside_modules.usage.queries.endpoints import EndpointRow, named
from trackside_modules.usage.queries.figures import Figures, grouped
from trackside_modules.usage.queries.scope import Scope, rows
from trackside_modules.usage.tiers import Unit
from trackside_modules.usage.window import MINUTE, Window


def _of(session: Session, env_id: int, user_ids: Select[int], span: tuple[datetime, datetime], unit: Unit) -> Subquery:
    def narrow(table: Any) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = table.user_id.in_(user_ids)
        return mine

    return tiers.by_user(env_id, tiers.parts(session, env_id, *span, unit), narrow)


def by_hour(session: Session, env_id: int, user_ids: Select[int], now: datetime) -> list[int | None]:
    """Return the calls of users in each of the last 24 hours."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    counted = _of(session, env_id, user_ids, (start, now + MINUTE), "hour")
    hour = func.date_trunc("hour", counted.c.at)
    found: dict[datetime, int] = defaultdict(int)
    for at, calls in session.execute(select(hour, func.sum(counted.c.calls)).group_by(literal_column("1"))):
        found[at] = int(calls)
    return [found[start + timedelta(hours=place)] for place in range(24)]


def of_users(session: Session, env_id: int, user_ids: Select[int], window: Window) -> Figures:
    """Return the figures of users together."""
    counted = _of(session, env_id, user_ids, (window.start, window.until + MINUTE), "day")
    return grouped(session, counted, literal_column("0")).get(0, Figures())


def top_endpoints(session: Session, scope: Scope, window: Window, limit: int = 10) -> list[EndpointRow]:
    """Return the endpoints with the most calls; how many users they had is left out."""
    counted = rows(session, scope, window.start, window.until)
    figures = grouped(session, counted, counted.c.endpoint_id)
    first = sorted(figures, key=lambda id_: (-figures[id_].calls, id_))[:limit]
    known = named(session, set(first))
    return [EndpointRow(known[id_], figures[id_], quantiles=figures[id_].quantiles()) for id_ in first]
