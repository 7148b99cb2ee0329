"""The calls of each endpoint, whatever their status: remembered where they are, else from the tiers (see `memory`)."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, cast

import numpy as np
from pyroaring import BitMap64
from sqlalchemy import Select, Subquery, case, column, func, literal_column, select, union_all
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpointHour, UsageSum
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.hung import histograms, hung, united
from trackside_modules.usage.storage.memory import MADE_OF, STEPS, Plan, Unit, plan
from trackside_modules.usage.storage.packs import pack_rows
from trackside_modules.usage.storage.tiers import Narrow

COLUMNS = ("at", "endpoint_id", "calls", "client_errors", "server_errors", "slow", "approximate", "latency", "users")
EVERYTHING = 0
"""The endpoint that stands for all of them."""
_IT = {it.name: column(it.name, it.type) for it in UsageEndpointHour.__table__.c}
_SPLIT: dict[str, Any] = _IT | {
    "client_errors": case((_IT["status"].between(400, 499), _IT["calls"]), else_=0).label("client_errors"),
    "server_errors": case((_IT["status"] >= 500, _IT["calls"]), else_=0).label("server_errors"),
}
"""Columns of a tier by name alone: those of a subquery are made anew for each, which is most of composing a query."""


def of(env_id: int, planned: Plan, narrow: Narrow | None = None, *, whole: bool = False) -> Subquery:
    """Return the rows of a plan with the `COLUMNS`; several of an endpoint and time may be there: sum them.

    `whole` is for who tells no endpoints apart and narrows nothing: what is remembered is one row for all of them.
    """
    selects: list[Select[Any]] = []
    if planned.kept:
        it = UsageSum
        read = select(*(getattr(it, name) for name in COLUMNS))
        query = cast("Select[Any]", read).where(it.env_id == env_id, planned.among(it))
        query = query.where(it.endpoint_id == EVERYTHING if whole else it.endpoint_id != EVERYTHING)
        selects.append(query if narrow is None else query.where(narrow(it)))
    if planned.parts or not selects:
        selects.append(split(tiers.by_endpoint(env_id, planned.parts, narrow)))
    return (union_all(*selects) if len(selects) > 1 else selects[0]).subquery()


def split(counted: Subquery, *more: str, users: bool = True) -> Select[Any]:
    """Return rows of a tier with their calls by sort instead of a status, and `more` of their columns.

    `users` False is for rows that have no sets of users.
    """
    names = [name for name in (*COLUMNS, *more) if users or name != "users"]
    read = select(*(_SPLIT[name] for name in names))
    return cast("Select[Any]", read).select_from(counted)


def made(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the rows to be remembered of the buckets of `[start, end)`: of each endpoint, and of everything."""
    it = of(env_id, plan(session, env_id, start, end, MADE_OF[unit])).c
    bucket = func.date_bin(STEPS[unit], it.at, start)
    numbers = [func.sum(it[name]) for name in ("calls", "client_errors", "server_errors", "slow")]
    query = select(bucket, it.endpoint_id, *numbers, func.bool_or(it.approximate), *hung(it.latency), *hung(it.users))
    keys: list[Any] = [literal_column("1"), literal_column("2")]
    found = session.execute(query.group_by(*keys).order_by(*keys)).all()
    counts = histograms([(row[7], row[8]) for row in found])
    times = [row[0] for row in found]
    firsts = [place for place, at in enumerate(times) if place == 0 or at != times[place - 1]]
    counts = np.vstack((counts, np.add.reduceat(counts, firsts, axis=0) if firsts else counts))
    users = [united(row[9], row[10]) for row in found]
    every = [_together(found[first:stop]) for first, stop in pairwise([*firsts, len(found)])]
    users += [BitMap64().union(*users[first:stop]) for first, stop in pairwise([*firsts, len(found)])]
    names = {"env_id": env_id, "unit": unit}
    return [
        names | dict(zip(COLUMNS, (*row[:7], packed, known.serialize()), strict=True))
        for row, packed, known in zip([*found, *every], pack_rows(counts), users, strict=True)
    ]


def _together(rows: Sequence[Any]) -> tuple[Any, ...]:
    """Return the columns, up to `approximate`, of everything in a bucket."""
    at, _, *numbers, _ = zip(*(row[:7] for row in rows), strict=True)
    return (at[0], EVERYTHING, *map(sum, numbers), any(row[6] for row in rows))
