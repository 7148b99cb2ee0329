"""Endpoints with what was called of them: the table of all, and one each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64
from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Select,
    SmallInteger,
    Subquery,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries.figures import Figures, added, bucket, by_endpoint, figures_of, sums_of
from trackside_modules.usage.queries.pieces import Question, Span, in_tiers, pieces
from trackside_modules.usage.queries.scope import Scope, units_for
from trackside_modules.usage.queries.window import DAY, HOUR, MINUTE, Window
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.hung import hung, numbers, run, united
from trackside_modules.usage.storage.packs import quantiles
from trackside_modules.usage.storage.sums import split
from trackside_modules.usage.storage.tiers import Part

SORTS = ("endpoint", "calls", "users", "errors", "refused", "p50", "p95", "p99", "change")
_TRENDS = (MINUTE, 2 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY)
_POINTS = 40
"""Points of a trend at most: it is 88 pixels wide."""
_MINE: Any = any_(bindparam("mine", type_=ARRAY(BigInteger)))
"""The endpoints that are shown: a parameter."""
_NAMED = select(UsageEndpoint).where(UsageEndpoint.id == _MINE)


@dataclass(slots=True)
class EndpointRow:
    """An endpoint with its figures."""

    endpoint: UsageEndpoint
    figures: Figures
    before: int | None = None
    """Its calls in the period before; None where not compared."""
    users: int = 0
    quantiles: Sequence[float | None] = (None, None, None)
    """p50, p95 and p99 in milliseconds."""
    trend: Sequence[float | None] = ()

    @property
    def change(self) -> float | None:
        """The calls' change against the period before, as a ratio; None where there were none before."""
        return (self.figures.calls - self.before) / self.before if self.before else None


def listed(session: Session, scope: Scope, window: Window, *, compare: bool, q: str = "") -> list[EndpointRow]:
    """Return every endpoint that was called in the window (or, compared, the one before), without users and trend."""
    figures = by_endpoint(session, scope, window)
    before = _calls(session, scope, window.previous()) if compare else {}
    known = named(session, {*figures, *before}, q)
    found = [
        EndpointRow(known[id_], figures.get(id_) or Figures(), before.get(id_, 0) if compare else None)
        for id_ in sorted(known)
    ]
    if found:
        values = quantiles(np.array([row.figures.latency for row in found]), 0.5, 0.95, 0.99)
        for row, each in zip(found, values, strict=True):
            row.quantiles = [None if value is None else value * 1000 for value in each]
    return found


def _calls(session: Session, scope: Scope, window: Window) -> dict[int, int]:
    """Return the calls of each endpoint in a window."""
    found: dict[int, int] = {}
    asked = Question(_calls_each, lambda it: {row[0]: int(row[1]) for row in it})
    for piece in pieces(session, Span(scope, window.start, window.until), asked):
        for endpoint_id, calls in piece.items():
            found[endpoint_id] = found.get(endpoint_id, 0) + calls
    return found


def _calls_each(rows: Subquery) -> Select[*tuple[Any, ...]]:
    return select(rows.c.endpoint_id, func.sum(rows.c.calls)).group_by(rows.c.endpoint_id)


def named(session: Session, ids: set[int], q: str = "") -> dict[int, UsageEndpoint]:
    """Return the endpoints of these numbers whose method, route or service holds `q`."""
    query = _NAMED
    if q:
        text = UsageEndpoint.method + " " + UsageEndpoint.route + " " + UsageEndpoint.service
        query = query.where(text.icontains(q, autoescape=True))
    return {it.id: it for it in session.scalars(query, {"mine": list(ids)})}


def ordered(found: list[EndpointRow], sort: str) -> list[EndpointRow]:
    """Return the rows by one of `SORTS`, with a `-` the most first; what has no value is last either way."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    known = [(value, row) for row in found if (value := _rank(row, name)) is not None]
    known.sort(key=lambda pair: pair[0], reverse=down)
    return [row for _, row in known] + [row for row in found if _rank(row, name) is None]


def _rank(row: EndpointRow, name: str) -> Any:
    if name == "endpoint":
        return (row.endpoint.route, row.endpoint.method, row.endpoint.service)
    if name in ("p50", "p95", "p99"):
        return row.quantiles[("p50", "p95", "p99").index(name)]
    figures = row.figures
    values = {
        "calls": figures.calls,
        "users": row.users,
        "errors": figures.error_rate,
        "refused": figures.client_error_rate,
        "change": row.change,
    }
    return values[name]


def add_users(session: Session, scope: Scope, window: Window, them: Sequence[EndpointRow]) -> None:
    """Fill in how many known users called each, united from the sets of the tiers."""
    asked = Question(_users_each, _united, (), (("mine", _ids(them)),))
    found = pieces(session, Span(scope, window.start, window.until), asked)
    for row in them:
        sets = [piece[row.endpoint.id] for piece in found if row.endpoint.id in piece]
        row.users = len(sets[0].union(*sets[1:])) if sets else 0


def _ids(them: Sequence[EndpointRow]) -> tuple[int, ...]:
    return tuple(sorted(row.endpoint.id for row in them))


def _users_each(rows: Subquery) -> Select[*tuple[Any, ...]]:
    it = rows.c
    return select(it.endpoint_id, *hung(it.users)).where(it.endpoint_id == _MINE).group_by(it.endpoint_id)


def _united(found: Sequence[Any]) -> dict[int, BitMap64]:
    return {id_: united(data, lengths) for id_, data, lengths in found}


def add_trend(session: Session, scope: Scope, window: Window, them: Sequence[EndpointRow]) -> None:
    """Fill in the calls of each over the window, in at most forty steps; what is still going on is left out."""
    step = trend_step(window)
    size = -((window.start - window.until) // step)

    def take(found: Sequence[Any]) -> dict[int, NDArray[np.float64]]:
        """Return the calls of each endpoint, a number for each step."""
        trends: dict[int, NDArray[np.float64]] = {}
        for endpoint_id, places, calls in found:
            trends[endpoint_id] = np.zeros(size)
            trends[endpoint_id][numbers(places)] = numbers(calls)
        return trends

    values = (("mine", _ids(them)), ("origin", window.start))
    asked = Question(_steps_each, take, (step,), values)
    found = pieces(session, Span(scope, window.start, window.until, step), asked)
    for row in them:
        trend = np.zeros(size)
        for piece in found:
            if row.endpoint.id in piece:
                trend += piece[row.endpoint.id]
        row.trend = trend[: size - 1].tolist()


def _steps_each(rows: Subquery, step: timedelta) -> Select[*tuple[Any, ...]]:
    """Compose the steps that each endpoint was called in, by number, and the calls of each step."""
    it = rows.c
    seconds = func.extract("epoch", it.at) - func.extract("epoch", bindparam("origin", type_=DateTime(timezone=True)))
    place = func.div(seconds, int(step.total_seconds()))
    summed = select(it.endpoint_id, place.label("place"), func.sum(it.calls).label("calls"))
    each = summed.where(it.endpoint_id == _MINE).group_by(literal_column("1"), literal_column("2")).subquery().c
    return select(each.endpoint_id, run(each.place), run(each.calls)).group_by(each.endpoint_id)


def trend_step(window: Window) -> timedelta:
    """Return the step of a trend: one of the window's own buckets or several."""
    length = window.end - window.start
    steps = (step for step in _TRENDS if step % window.step == timedelta() and length / step <= _POINTS)
    return next(steps, max(window.step, DAY))


def statuses(session: Session, scope: Scope, window: Window) -> dict[int, dict[datetime, Figures]]:
    """Return, for each status, the figures of each bucket of the window that had it."""
    asked = Question(_by_status, lambda it: figures_of(it, 2), (scope, window.step), (("origin", window.start),))
    told = in_tiers(session, Span(scope, window.start, window.until), asked, units=units_for(window.step))
    found: dict[int, dict[datetime, Figures]] = {}
    for (status, at), each in added(told).items():
        found.setdefault(status, {})[at] = each
    return found


def _by_status(parts: Sequence[Part], scope: Scope, step: timedelta) -> Select[*tuple[Any, ...]]:
    it = split(tiers.by_endpoint(scope.env_id, parts, scope.narrow), "status", users=False).subquery().c
    return sums_of(it, [cast(it.status, SmallInteger), bucket(it, step)])
