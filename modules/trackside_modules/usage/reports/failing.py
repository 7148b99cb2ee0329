"""Which endpoints fail: their calls by status of 400 and more, exactly, and for how many users."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from pyroaring import BitMap64
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.reports.error_groups import Wanted
from trackside_modules.usage.storage import closed, failures, memory, reach, sums, tiers
from trackside_modules.usage.storage.hung import hung, united


@dataclass(frozen=True, slots=True)
class Failing:
    """An endpoint that failed, exactly: calls by status of 400 and more, of all its calls; users who met it."""

    endpoint: UsageEndpoint
    calls: int
    statuses: dict[int, int]
    users: int

    def of(self, digit: int) -> int:
        """Return the calls with a status of this class."""
        return sum(calls for status, calls in self.statuses.items() if status // 100 == digit)

    @property
    def share(self) -> float:
        """The share of its calls that failed on the server's side."""
        return self.of(5) / self.calls if self.calls else 0.0


def failing(session: Session, wanted: Wanted, limit: int = 8) -> list[Failing]:
    """Return the endpoints with the most calls that failed on the server's side, then those most refused."""
    planned = memory.plan(session, wanted.env_id, wanted.span.start, wanted.span.until, ("week", "day", "hour"))
    statuses: dict[int, Counter[int]] = defaultdict(Counter)
    which = (wanted.env_id, wanted.service, wanted.endpoint_id)
    for found in closed.pieces(session, ("failing", which), planned, lambda plan: _statuses(session, wanted, plan)):
        for (id_, status), calls in found.items():
            statuses[id_][status] += calls
    top = sorted(statuses, key=lambda id_: (-_share(statuses[id_], 5), -_share(statuses[id_], 4), id_))[:limit]
    if not top:
        return []
    totals: Counter[int] = Counter()
    met: dict[int, BitMap64] = defaultdict(BitMap64)
    what = ("met", wanted.env_id, tuple(top))
    for every, users in closed.pieces(session, what, planned, lambda plan: _met_by(session, wanted, plan, top)):
        totals.update(every)
        for id_, known in users.items():
            met[id_] |= known
    named = {it.id: it for it in session.scalars(select(UsageEndpoint).where(tiers.one_of(UsageEndpoint.id, top)))}
    who = reach.people(session)
    return [
        Failing(
            named[id_],
            totals[id_],
            dict(sorted(statuses[id_].items(), reverse=True)),
            len(who.of(met[id_])),
        )
        for id_ in top
    ]


def _statuses(session: Session, wanted: Wanted, planned: memory.Plan) -> dict[tuple[int, int], int]:
    """Return the failed calls of a plan by endpoint and status."""
    rows = failures.of(wanted.env_id, planned, _at_endpoints(wanted)).c
    query = select(rows.endpoint_id, rows.status, func.sum(rows.calls)).group_by(rows.endpoint_id, rows.status)
    return {(id_, status): int(calls) for id_, status, calls in session.execute(query)}


def _met_by(
    session: Session, wanted: Wanted, planned: memory.Plan, top: list[int]
) -> tuple[dict[int, int], dict[int, BitMap64]]:
    """Return all calls of some endpoints in a plan, and who met a failure of each."""
    every = sums.of(wanted.env_id, planned, lambda table: tiers.one_of(table.endpoint_id, top)).c
    summed = session.execute(select(every.endpoint_id, func.sum(every.calls)).group_by(every.endpoint_id))
    rows = failures.of(wanted.env_id, planned, lambda table: tiers.one_of(table.endpoint_id, top), whole=True).c
    met = session.execute(select(rows.endpoint_id, *hung(rows.users)).group_by(rows.endpoint_id))
    return {id_: int(calls) for id_, calls in summed}, {id_: united(*users) for id_, *users in met}


def _at_endpoints(wanted: Wanted) -> tiers.Narrow | None:
    """Return the condition for the endpoints wanted, where not all of them are."""
    if wanted.endpoint_id is not None and not wanted.service:
        return lambda table: table.endpoint_id == wanted.endpoint_id
    if not wanted.service:
        return None
    mine = select(UsageEndpoint.id).where(
        UsageEndpoint.env_id == wanted.env_id, UsageEndpoint.service == wanted.service
    )
    if wanted.endpoint_id is not None:
        mine = mine.where(UsageEndpoint.id == wanted.endpoint_id)
    return lambda table: table.endpoint_id.in_(mine)


def _share(statuses: Mapping[int, int], digit: int) -> int:
    return sum(calls for status, calls in statuses.items() if status // 100 == digit)
