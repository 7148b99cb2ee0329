"""Endpoints with what was called of them: the table of all, and one each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64
from sqlalchemy import BigInteger, SmallInteger, Subquery, cast, func, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries.figures import Figures, added, bucket, by_endpoint, grouped
from trackside_modules.usage.queries.scope import Scope, Span, in_tiers, pieces, units_for
from trackside_modules.usage.queries.window import DAY, HOUR, MINUTE, Window
from trackside_modules.usage.storage import reach, tiers
from trackside_modules.usage.storage.crowds import numbers, run
from trackside_modules.usage.storage.packs import quantiles
from trackside_modules.usage.storage.sums import cut, hung, split
from trackside_modules.usage.storage.tiers import Part, one_of

SORTS = ("endpoint", "calls", "users", "errors", "refused", "p50", "p95", "p99", "change")
_TRENDS = (MINUTE, 2 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY)
_POINTS = 40
"""Points of a trend at most: it is 88 pixels wide."""


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

    def read(counted: Subquery) -> dict[int, int]:
        it = counted.c
        query = select(it.endpoint_id, func.sum(it.calls)).group_by(it.endpoint_id)
        return {endpoint_id: int(calls) for endpoint_id, calls in session.execute(query)}

    found: dict[int, int] = {}
    for piece in pieces(session, Span(scope, window.start, window.until), "calls", read):
        for endpoint_id, calls in piece.items():
            found[endpoint_id] = found.get(endpoint_id, 0) + calls
    return found


def named(session: Session, ids: set[int], q: str = "") -> dict[int, UsageEndpoint]:
    """Return the endpoints of these numbers whose method, route or service holds `q`."""
    query = select(UsageEndpoint).where(one_of(UsageEndpoint.id, ids))
    if q:
        text = UsageEndpoint.method + " " + UsageEndpoint.route + " " + UsageEndpoint.service
        query = query.where(text.icontains(q, autoescape=True))
    return {it.id: it for it in session.scalars(query)}


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
    mine = tuple(sorted(row.endpoint.id for row in them))

    def read(counted: Subquery) -> dict[int, BitMap64]:
        it = counted.c
        query = select(it.endpoint_id, *hung(it.users)).where(one_of(it.endpoint_id, mine)).group_by(it.endpoint_id)
        return {id_: reach.unite(cut(bytes(data), bytes(lengths))) for id_, data, lengths in session.execute(query)}

    found = pieces(session, Span(scope, window.start, window.until), ("users", mine), read)
    for row in them:
        sets = [piece[row.endpoint.id] for piece in found if row.endpoint.id in piece]
        row.users = len(sets[0].union(*sets[1:])) if sets else 0


def add_trend(session: Session, scope: Scope, window: Window, them: Sequence[EndpointRow]) -> None:
    """Fill in the calls of each over the window, in at most forty steps; what is still going on is left out."""
    step = trend_step(window)
    mine = tuple(sorted(row.endpoint.id for row in them))
    size = -((window.start - window.until) // step)

    def read(counted: Subquery) -> dict[int, NDArray[np.float64]]:
        """Return the calls of each endpoint, a number for each step."""
        it = counted.c
        place = func.floor(func.extract("epoch", it.at - window.start) / step.total_seconds()).cast(BigInteger)
        summed = select(it.endpoint_id, place.label("place"), func.sum(it.calls).label("calls"))
        summed = summed.where(one_of(it.endpoint_id, mine)).group_by(literal_column("1"), literal_column("2"))
        each = summed.subquery().c
        found: dict[int, NDArray[np.float64]] = {}
        query = select(each.endpoint_id, run(each.place), run(each.calls)).group_by(each.endpoint_id)
        for endpoint_id, places, calls in session.execute(query):
            found[endpoint_id] = np.zeros(size)
            found[endpoint_id][numbers(places)] = numbers(calls)
        return found

    span = Span(scope, window.start, window.until, step)
    found = pieces(session, span, ("trend", mine, window.start, step, size), read)
    nothing = np.zeros(size)
    for row in them:
        row.trend = sum((piece.get(row.endpoint.id, nothing) for piece in found), nothing)[: size - 1].tolist()


def trend_step(window: Window) -> timedelta:
    """Return the step of a trend: one of the window's own buckets or several."""
    length = window.end - window.start
    steps = (step for step in _TRENDS if step % window.step == timedelta() and length / step <= _POINTS)
    return next(steps, max(window.step, DAY))


def statuses(session: Session, scope: Scope, window: Window) -> dict[int, dict[datetime, Figures]]:
    """Return, for each status, the figures of each bucket of the window that had it."""

    def read(parts: Sequence[Part]) -> dict[Any, Figures]:
        counted = split(tiers.by_endpoint(scope.env_id, parts, scope.narrow), "status", users=False).subquery()
        return grouped(session, counted, cast(counted.c.status, SmallInteger), bucket(counted, window))

    what = ("statuses", scope, window.start, window.step)
    span = (window.start, window.until)
    told = in_tiers(session, scope.env_id, span, what, read, units=units_for(window.step))
    found: dict[int, dict[datetime, Figures]] = {}
    for (status, at), each in added(told).items():
        found.setdefault(status, {})[at] = each
    return found
