"""Calls that ended with a status of 400 or more, by endpoint: remembered where they are, else from the tiers.

Where most calls succeed, they are most of what the tiers hold of an endpoint: these are kept apart (see `memory`).
"""

from datetime import datetime
from typing import Any, cast

from pyroaring import BitMap64
from sqlalchemy import ColumnElement, Select, Subquery, and_, func, literal_column, select, union_all
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageFailure
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.hung import hung, united
from trackside_modules.usage.storage.memory import MADE_OF, STEPS, Plan, Unit, plan
from trackside_modules.usage.storage.tiers import Narrow

COLUMNS = ("at", "endpoint_id", "status", "calls", "users")
ALL = 0
"""The status that stands for all of them."""


def of(env_id: int, planned: Plan, narrow: Narrow | None = None, *, whole: bool = False) -> Subquery:
    """Return the rows of a plan with the `COLUMNS`; several of an endpoint, status and time may be there: sum them.

    `whole` is for who tells no statuses apart: what is remembered is one row for all of them.
    """
    selects: list[Select[Any]] = []
    if planned.kept:
        it: Any = UsageFailure.__table__.c
        read = cast("Select[Any]", select(*(it[name] for name in COLUMNS)))
        query = read.where(it.env_id == env_id, planned.among(it))
        query = query.where(it.status == ALL if whole else it.status != ALL)
        selects.append(query if narrow is None else query.where(narrow(it)))
    if planned.parts or not selects:
        counted = tiers.by_endpoint(env_id, planned.parts, _failed(narrow)).c
        selects.append(cast("Select[Any]", select(*(counted[name] for name in COLUMNS))))
    return (union_all(*selects) if len(selects) > 1 else selects[0]).subquery()


def _failed(narrow: Narrow | None) -> Narrow:
    def failed(table: Any) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = table.status >= 400
        return mine if narrow is None else and_(mine, narrow(table))

    return failed


def made(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the rows to be remembered of the buckets of `[start, end)`."""
    it = of(env_id, plan(session, env_id, start, end, MADE_OF[unit])).c
    bucket = func.date_bin(STEPS[unit], it.at, start)
    query = select(bucket, it.endpoint_id, it.status, func.sum(it.calls), *hung(it.users))
    found: dict[tuple[datetime, int], list[tuple[int, int, BitMap64]]] = {}
    for at, endpoint_id, status, calls, users, sizes in session.execute(
        query.group_by(*(literal_column(str(place)) for place in (1, 2, 3)))
    ):
        known = united(users, sizes)
        found.setdefault((at, endpoint_id), []).append((status, int(calls), known))
    for rows in found.values():
        rows.append((ALL, sum(calls for _, calls, _ in rows), BitMap64().union(*(known for *_, known in rows))))
    names = {"env_id": env_id, "unit": unit}
    return [
        names | {"at": at, "endpoint_id": endpoint_id, "status": status, "calls": calls, "users": known.serialize()}
        for (at, endpoint_id), rows in found.items()
        for status, calls, known in rows
    ]
