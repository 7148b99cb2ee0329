"""Endpoints with what was called of them: the table of all, and one each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import SmallInteger, cast, func, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries.figures import Figures, bucket, grouped
from trackside_modules.usage.queries.scope import Scope, rows, sums
from trackside_modules.usage.queries.window import DAY, HOUR, MINUTE, Window
from trackside_modules.usage.storage import reach
from trackside_modules.usage.storage.packs import quantiles
from trackside_modules.usage.storage.sums import cut, hung, split
from trackside_modules.usage.storage.tiers import one_of

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
    counted = sums(session, scope, window.start, window.until)
    figures = grouped(session, counted, counted.c.endpoint_id)
    before: dict[int, int] = {}
    if compare:
        old = window.previous()
        was = sums(session, scope, old.start, old.until)
        query = select(was.c.endpoint_id, func.sum(was.c.calls)).group_by(was.c.endpoint_id)
        before = {endpoint_id: int(calls) for endpoint_id, calls in session.execute(query)}
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
    mine = {row.endpoint.id: row for row in them}
    it = sums(session, scope, window.start, window.until).c
    query = select(it.endpoint_id, *hung(it.users)).where(one_of(it.endpoint_id, mine)).group_by(it.endpoint_id)
    for endpoint_id, data, lengths in session.execute(query):
        mine[endpoint_id].users = len(reach.unite(cut(bytes(data), bytes(lengths))))


def add_trend(session: Session, scope: Scope, window: Window, them: Sequence[EndpointRow]) -> None:
    """Fill in the calls of each over the window, in at most forty steps; what is still going on is left out."""
    step = trend_step(window)
    counted = sums(session, scope, window.start, window.until, step)
    mine = [row.endpoint.id for row in them]
    at = bucket(counted, window, step)
    query = select(counted.c.endpoint_id, at, func.sum(counted.c.calls)).where(one_of(counted.c.endpoint_id, mine))
    found: dict[int, dict[datetime, float]] = {id_: {} for id_ in mine}
    for endpoint_id, start, calls in session.execute(query.group_by(literal_column("1"), literal_column("2"))):
        found[endpoint_id][start] = float(calls)
    times = [window.start + step * place for place in range(-((window.start - window.until) // step) - 1)]
    for row in them:
        row.trend = [found[row.endpoint.id].get(at, 0.0) for at in times]


def trend_step(window: Window) -> timedelta:
    """Return the step of a trend: one of the window's own buckets or several."""
    length = window.end - window.start
    steps = (step for step in _TRENDS if step % window.step == timedelta() and length / step <= _POINTS)
    return next(steps, max(window.step, DAY))


def statuses(session: Session, scope: Scope, window: Window) -> dict[int, dict[datetime, Figures]]:
    """Return, for each status, the figures of each bucket of the window that had it."""
    told = rows(session, scope, window.start, window.until, window.unit)
    counted = split(told, "status").subquery()
    found: dict[int, dict[datetime, Figures]] = {}
    for (status, at), figures in grouped(
        session, counted, cast(counted.c.status, SmallInteger), bucket(counted, window)
    ).items():
        found.setdefault(status, {})[at] = figures
    return found
