"""One user or account: what they call and since when, what fails for them, and on which days they came."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Select, any_, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageDay, UsageEndpoint
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.queries.endpoints import named
from trackside_modules.usage.queries.figures import Figures, quantiles_of
from trackside_modules.usage.queries.pieces import ask
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.queries.window import DAY, Window, floor
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.hung import histograms, hung

STRIP = 90
"""Days that the strip of active days shows."""
_READ = ("endpoint_id", "status", "calls", "slow", "approximate", "latency")


@dataclass(frozen=True, slots=True)
class CalledRow:
    """An endpoint that they called."""

    endpoint: UsageEndpoint
    figures: Figures
    quantiles: Sequence[float | None]
    since: datetime | None
    """The first day (UTC) that they called it."""


@dataclass(frozen=True, slots=True)
class TurnRow:
    """Calls that went wrong for a reason of the caller: nothing there, not allowed, too many."""

    endpoint: UsageEndpoint
    status: int
    calls: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Calls:
    """What a user or an account called: the endpoints, the most called first, and all wrong turns, likewise."""

    called: list[CalledRow]
    turns: list[TurnRow]

    @property
    def wrong(self) -> int:
        """How many calls were wrong turns."""
        return sum(row.calls for row in self.turns)


def calls(session: Session, scope: Scope, window: Window) -> Calls:
    """Return what the scope's user or account called in the window."""
    spans = tiers.parts(session, scope.env_id, window.start, window.until)
    found = ask(session, _by_status, spans, (scope.shape,), _values(scope))
    known = named(session, {row[0] for row in found})
    figures: dict[int, Figures] = {}
    turns: list[TurnRow] = []
    for (id_, status, counted, slow, approximate, last, *_), latency in zip(
        found, histograms([tuple(row)[-2:] for row in found]), strict=True
    ):
        number, errors = int(counted), status // 100
        one = Figures(number, number * (errors == 4), number * (errors >= 5), int(slow), approximate, latency)
        figures.setdefault(id_, Figures()).add(one)
        if status in tiers.WRONG_STATUSES or known[id_].route == UNMATCHED:
            turns.append(TurnRow(known[id_], status, number, last))
    turns.sort(key=lambda row: (-row.calls, row.endpoint.id, row.status))
    ids = sorted(figures, key=lambda id_: (-figures[id_].calls, id_))
    first, today = _since(session, scope, ids), floor(window.now, DAY)
    quantiles = quantiles_of([figures[id_] for id_ in ids])
    rows_ = [
        CalledRow(known[id_], figures[id_], each, first.get(id_, today))
        for id_, each in zip(ids, quantiles, strict=True)
    ]
    return Calls(rows_, turns)


def _by_status(parts: Sequence[tiers.Part], scope: Scope) -> Select[*tuple[Any, ...]]:
    it = tiers.by_user(scope.env_id, parts, scope.narrow, _READ).c
    sums = func.sum(it.calls), func.sum(it.slow), func.bool_or(it.approximate), func.max(it.at)
    return select(it.endpoint_id, it.status, *sums, *hung(it.latency)).group_by(it.endpoint_id, it.status)


def _values(scope: Scope) -> tuple[tuple[str, Hashable], ...]:
    return tuple((name, tuple(value)) for name, value in scope.given.items())


def _since(session: Session, scope: Scope, ids: list[int]) -> dict[int, datetime]:
    """Return the first day of each endpoint; one that is not there was first called today."""
    found = ask(session, _first_days, (), (scope.shape,), (*_values(scope), ("mine", tuple(ids))))
    return {row[0]: row[1] for row in found}


def _first_days(_parts: Sequence[tiers.Part], scope: Scope) -> Select[*tuple[Any, ...]]:
    it: Any = UsageDay.__table__.c
    mine = it.endpoint_id == any_(bindparam("mine", type_=ARRAY(BigInteger)))
    query = select(it.endpoint_id, func.min(it.at)).where(it.env_id == scope.env_id, mine, scope.narrow(it))
    return query.group_by(it.endpoint_id)


def days(session: Session, scope: Scope, now: datetime) -> dict[date, tuple[int, int]]:
    """Return calls and failed calls of each of the last 90 days (UTC) that had calls."""
    start = floor(now, DAY) - (STRIP - 1) * DAY
    spans = tiers.parts(session, scope.env_id, start, now + timedelta(minutes=1))
    found = ask(session, _by_day, spans, (scope.shape,), _values(scope))
    return {at.date(): (int(calls), int(failed)) for at, calls, failed in found}


def _by_day(parts: Sequence[tiers.Part], scope: Scope) -> Select[*tuple[Any, ...]]:
    it = tiers.of_user(scope.env_id, parts, scope.narrow, ("calls", "server_errors")).c
    sums = func.sum(it.calls), func.sum(it.server_errors)
    return select(func.date_trunc("day", it.at), *sums).group_by(literal_column("1"))
