"""How often each error came, and who met it: remembered by day and week where that is, else by hour (see `memory`).

Hours of errors are apart from those of calls: a service may log an error of an hour that no calls came for. So the fold
calls `pulse.forget_past` where it adds to a day that is over.
"""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Subquery, and_, false, func, literal_column, or_, select, union_all
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageErrorHour, UsageErrorSum
from trackside_modules.usage.storage import memory
from trackside_modules.usage.storage.hung import hung, united
from trackside_modules.usage.storage.memory import MADE_OF, STEPS, Plan, Unit
from trackside_modules.usage.storage.tiers import Narrow

_COLUMNS = ("error_id", "at", "calls", "users")


def of(env_id: int, planned: Plan, narrow: Narrow | None = None) -> Subquery:
    """Return rows of error, time, calls and users of a plan that begins with an hour; an error may have several."""
    it: Any = UsageErrorHour.__table__.c
    rest = or_(false(), *(and_(it.at >= part.start, it.at < part.end) for part in planned.parts))
    selects = [_rows(it, and_(it.env_id == env_id, rest), narrow)]
    if planned.kept:
        it = UsageErrorSum.__table__.c
        selects.append(_rows(it, and_(it.env_id == env_id, planned.among(it)), narrow))
    return (union_all(*selects) if len(selects) > 1 else selects[0]).subquery()


def _rows(table: Any, where: ColumnElement[bool], narrow: Narrow | None) -> Select[Any]:
    query = cast("Select[Any]", select(*(table[name] for name in _COLUMNS))).where(where)
    return query if narrow is None else query.where(narrow(table))


def made(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the rows to be remembered of the buckets of `[start, end)`; none of hours, which are rows already."""
    if unit == "hour":
        return []
    it = of(env_id, memory.plan(session, env_id, start, end, MADE_OF[unit])).c
    bucket = func.date_bin(STEPS[unit], it.at, start)
    query = select(bucket, it.error_id, func.sum(it.calls), *hung(it.users))
    found = session.execute(query.group_by(literal_column("1"), literal_column("2")))
    return [
        {"env_id": env_id, "unit": unit, "at": at, "error_id": error_id, "calls": int(calls)}
        | {"users": united(users, sizes).serialize()}
        for at, error_id, calls, users, sizes in found
    ]
