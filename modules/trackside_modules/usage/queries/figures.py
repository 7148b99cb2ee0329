"""Figures of what calls came to: of a range, of each of its buckets, by anything the rows are told apart by.

PostgreSQL adds the numbers up and hangs the packed histograms of a group one after the other; numpy adds those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, DateTime, Select, Subquery, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageMinute
from trackside_modules.usage.queries.pieces import Question, Span, in_tiers, pieces
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.queries.window import Window
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.hung import histograms, hung
from trackside_modules.usage.storage.packs import WIDTH, Ints, quantiles


def _nothing() -> Ints:
    return np.zeros(WIDTH, dtype=np.int64)


_NONE = _nothing()


@dataclass(slots=True)
class Figures:
    """What calls came to: numbers, errors, durations."""

    calls: int = 0
    client_errors: int = 0
    server_errors: int = 0
    slow: int = 0
    approximate: bool = False
    latency: Ints = field(default_factory=_nothing)
    """A row of `packs`; all zeros where it was not asked for."""

    def add(self, other: "Figures") -> None:
        """Add another's calls to these."""
        self.calls += other.calls
        self.client_errors += other.client_errors
        self.server_errors += other.server_errors
        self.slow += other.slow
        self.latency = self.latency + other.latency
        self.approximate |= other.approximate

    def copy(self) -> "Figures":
        """Return figures that can be added to while these stay as they are."""
        numbers = (self.calls, self.client_errors, self.server_errors, self.slow)
        return Figures(*numbers, self.approximate, self.latency)

    @property
    def errors(self) -> int:
        """Calls that failed, or were refused."""
        return self.client_errors + self.server_errors

    @property
    def error_rate(self) -> float | None:
        """The share of calls that failed on the server's side; None without calls."""
        return self.server_errors / self.calls if self.calls else None

    @property
    def client_error_rate(self) -> float | None:
        """The share of calls that the server refused; None without calls."""
        return self.client_errors / self.calls if self.calls else None

    def quantiles(self) -> list[float | None]:
        """Return p50, p95 and p99 in milliseconds."""
        return quantiles_of([self])[0]


def quantiles_of(them: Sequence[Figures | None]) -> list[list[float | None]]:
    """Return what `Figures.quantiles` does of each, None where there is none: numpy takes long to begin with one."""
    counts = np.array([_NONE if it is None else it.latency for it in them])
    found = quantiles(counts, 0.5, 0.95, 0.99) if them else []
    return [[None if value is None else value * 1000 for value in each] for each in found]


def sums_of(it: Any, keys: Sequence[Any], *, latency: bool = True) -> Select[*tuple[Any, ...]]:
    """Compose what rows with the columns `it` come to by `keys`, for `figures_of`.

    `latency` False leaves the histograms out, which is much quicker where only numbers are wanted.
    """
    columns: list[Any] = [
        *(func.sum(it[name]) for name in ("calls", "client_errors", "server_errors", "slow")),
        func.bool_or(it.approximate),
        *(hung(it.latency) if latency else ()),
    ]
    return select(*keys, *columns).group_by(*(literal_column(str(place + 1)) for place in range(len(keys))))


def figures_of(found: Sequence[Any], width: int = 1, *, latency: bool = True) -> dict[Any, Figures]:
    """Return the figures in rows of `sums_of` by their keys: one value, or a tuple of `width` of them."""
    matrix = histograms([tuple(row)[-2:] for row in found]) if latency else None
    figures: dict[Any, Figures] = {}
    for place, row in enumerate(found):
        calls, client, server, slow, approximate = row[width : width + 5]
        one = Figures(int(calls), int(client), int(server), int(slow), approximate, _NONE)
        if matrix is not None:
            one.latency = matrix[place]
        figures[row[0] if width == 1 else tuple(row[:width])] = one
    return figures


def added(pieces: Sequence[dict[Any, Figures]]) -> dict[Any, Figures]:
    """Return the figures of several pieces by key; the pieces stay as they are."""
    found = {key: it.copy() for key, it in pieces[0].items()} if pieces else {}
    for piece in pieces[1:]:
        for key, it in piece.items():
            if key in found:
                found[key].add(it)
            else:
                found[key] = it.copy()
    return found


def series(session: Session, scope: Scope, window: Window, *, latency: bool = True) -> dict[datetime, Figures]:
    """Return the figures of each bucket of the window that had calls."""
    span = Span(scope, window.start, window.until, window.step, whole=True)
    args = (window.step, latency)
    asked = Question(_by_time, lambda it: figures_of(it, latency=latency), args, (("origin", window.start),))
    return added(pieces(session, span, asked))


def _by_time(rows: Subquery, step: timedelta, latency: bool) -> Select[*tuple[Any, ...]]:
    return sums_of(rows.c, [bucket(rows.c, step)], latency=latency)


def bucket(it: Any, step: timedelta) -> ColumnElement[datetime]:
    """Return the start of the step that a row falls into, counted from the parameter `origin`."""
    return func.date_bin(step, it.at, bindparam("origin", type_=DateTime(timezone=True)))


def summed(session: Session, scope: Scope, window: Window) -> Figures:
    """Return the figures of the whole window."""
    span = Span(scope, window.start, window.until, whole=True)
    return added(pieces(session, span, Question(_all, figures_of))).get(0, Figures())


def _all(rows: Subquery) -> Select[*tuple[Any, ...]]:
    return sums_of(rows.c, [literal_column("0")])


def by_endpoint(session: Session, scope: Scope, window: Window) -> dict[int, Figures]:
    """Return the figures of each endpoint that was called in the window."""
    span = Span(scope, window.start, window.until)
    return added(pieces(session, span, Question(_by_endpoint, figures_of)))


def _by_endpoint(rows: Subquery) -> Select[*tuple[Any, ...]]:
    return sums_of(rows.c, [rows.c.endpoint_id])


def total(buckets: Mapping[Any, Figures]) -> Figures:
    """Return the sum of all buckets."""
    found = Figures()
    for each in buckets.values():
        found.add(each)
    return found


def unknown_share(session: Session, scope: Scope, window: Window, known: Figures) -> float | None:
    """Return the share of the window's calls (`known` are its figures) without a known user; None without calls."""
    nobody = Scope(scope.env_id, scope.service, scope.endpoint_id, user_id=0, status=scope.status)
    asked = Question(_calls, lambda it: int(it[0][0]), (nobody,))
    calls = sum(in_tiers(session, Span(nobody, window.start, window.until), asked))
    return calls / known.calls if known.calls else None


def _calls(parts: Sequence[tiers.Part], scope: Scope) -> Select[*tuple[Any, ...]]:
    family = tiers.of_user if scope.only_users else tiers.by_user
    return select(func.coalesce(func.sum(family(scope.env_id, parts, scope.narrow).c.calls), 0))


def lately(session: Session, scope: Scope, now: datetime) -> tuple[int, int, int]:
    """Return the calls of the last full minute and of this one, and how many known users called in five minutes."""
    this, step, row = now.replace(second=0, microsecond=0), timedelta(minutes=1), UsageMinute
    calls = [func.coalesce(func.sum(row.calls).filter(row.minute == at), 0) for at in (this - step, this)]
    users = func.count(row.user_id.distinct()).filter(row.user_id != 0)
    query = select(*calls, users).where(scope.where(this - 5 * step, this + step))
    last, current, active = (int(number) for number in session.execute(query).one())
    return last, current, active
