"""Which tier a span of time is read from, so that a sum is exact and fresh whatever the roll-up has done yet.

The fold writes minutes, and marks the hour and the day they fall into as dirty; the roll-up makes dirty hours and days
anew and takes the mark away. So what is not dirty is whole, or empty, in every tier: clean days are read as days, clean
hours as hours, and the rest (the hour going on, what came late, ragged ends) as minutes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    any_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from trackside_modules.usage.models import (
    UsageDay,
    UsageDirty,
    UsageEndpoint,
    UsageEndpointDay,
    UsageEndpointHour,
    UsageEndpointMinute,
    UsageHour,
    UsageMinute,
    UsageUserDay,
    UsageUserHour,
)
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage.once import held

Unit = Literal["minute", "hour", "day"]
LENGTHS: dict[Unit, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
WRONG_STATUSES = (401, 403, 429)
_NUMBERS = ARRAY(BigInteger)


@dataclass(frozen=True, slots=True)
class Part:
    """`[start, end)`, read from the tier of `unit`."""

    unit: Unit
    start: datetime
    end: datetime


def unit_for(step: timedelta) -> Unit:
    """Return the coarsest tier whose buckets fit into steps of this length."""
    return (
        "day" if step % LENGTHS["day"] == timedelta() else "hour" if step % LENGTHS["hour"] == timedelta() else "minute"
    )


def parts(session: Session, env_id: int, start: datetime, end: datetime, coarsest: Unit = "day") -> list[Part]:
    """Return the parts that `[start, end)` is read in, in order, none coarser than `coarsest`; at least one."""
    return cut(start, end, coarsest, dirty(session, env_id, start, end) if coarsest != "minute" else set())


_DIRTY = select(UsageDirty.tier, UsageDirty.at).where(
    UsageDirty.env_id == bindparam("env"), UsageDirty.at >= bindparam("start"), UsageDirty.at < bindparam("end")
)
"""Composed once: each page asks it."""


def dirty(session: Session, env_id: int, start: datetime, end: datetime) -> set[tuple[str, datetime]]:
    """Return the marks, tier and time (UTC), that tell which tiers `[start, end)` can be read from."""
    since = _floor(start.astimezone(UTC), "day")

    def read(start: datetime, end: datetime) -> list[tuple[str, datetime]]:
        span = {"env": env_id, "start": start, "end": end}
        return [(tier, at.astimezone(UTC)) for tier, at in session.execute(_DIRTY, span)]

    marks = held(session, "marks", (env_id, since, end), read)
    return {(tier, at) for tier, at in marks if since <= at < end}


def cut(start: datetime, end: datetime, coarsest: Unit, dirty: set[tuple[str, datetime]]) -> list[Part]:
    """Return what `parts` does, given the marks."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    found: list[Part] = []
    for _, group in groupby(_cut(start, end, coarsest, dirty), key=lambda part: part.unit):
        adjacent = list(group)
        found.append(Part(adjacent[0].unit, adjacent[0].start, adjacent[-1].end))
    return found


def _cut(start: datetime, end: datetime, coarsest: Unit, dirty: set[tuple[str, datetime]]) -> Iterator[Part]:
    """Yield pieces, each as long as it goes on without a mark; hours go no further than midnight where days count."""
    order: list[Unit] = {"day": ["day", "hour"], "hour": ["hour"], "minute": []}[coarsest]  # type: ignore[assignment]
    if not order or start >= end:
        yield Part("minute", start, end)
        return
    marks = {unit: sorted(at for tier, at in dirty if tier == unit) for unit in order}
    at = start
    while at < end:
        for unit in order:
            limit = min(end, _floor(at, "day") + LENGTHS["day"]) if unit != coarsest else end
            stop = _clean_until(at, limit, unit, marks[unit])
            if stop > at:
                yield Part(unit, at, stop)
                break
        else:
            stop = min(end, _floor(at, "hour") + LENGTHS["hour"])
            yield Part("minute", at, stop)
        at = stop


def _clean_until(at: datetime, end: datetime, unit: Unit, marks: Sequence[datetime]) -> datetime:
    """Return the end of the whole buckets from `at` on without a mark; `at` itself where there are none."""
    if at != _floor(at, unit):
        return at
    place = bisect_left(marks, at)
    return _floor(min(end, marks[place]) if place < len(marks) else end, unit)


def _floor(at: datetime, unit: Unit) -> datetime:
    """Return the start of the bucket that a time (UTC) falls into."""
    start = at.replace(minute=0, second=0, microsecond=0)
    return start.replace(hour=0) if unit == "day" else start


BY_USER: dict[Unit, Any] = {"minute": UsageMinute, "hour": UsageHour, "day": UsageDay}
BY_ENDPOINT: dict[Unit, Any] = {"minute": UsageEndpointMinute, "hour": UsageEndpointHour, "day": UsageEndpointDay}
OF_USER: dict[Unit, Any] = {"hour": UsageUserHour, "day": UsageUserDay}

_COUNTED = ("calls", "micros", "longest", "latency", "slow")
_SORTS = ("client_errors", "server_errors", "wrong_turns")

Narrow = Callable[[Any], ColumnElement[bool]]
"""What to keep of a table: given the table (each has the columns of its family), a condition."""


_BY_USER = ("endpoint_id", "user_id", "status", *_COUNTED, "approximate")
_OF_USER = (*_COUNTED, *_SORTS)


def by_user(
    env_id: int, spans: Sequence[Part], narrow: Narrow | None = None, columns: tuple[str, ...] = _BY_USER
) -> Subquery:
    """Return rows of endpoint, user and status: `at`, those three, what was counted, and whether approximate.

    Or some of these columns: naming a column takes as long as reading it of some hundred rows.
    """
    return _together([_rows(BY_USER, env_id, part, narrow, columns) for part in spans])


def by_endpoint(env_id: int, spans: Sequence[Part], narrow: Narrow | None = None) -> Subquery:
    """Return rows of endpoint and status, as `by_user`, but with the set of `users` (see `reach`)."""
    columns = ("endpoint_id", "status", *_COUNTED, "approximate", "users")
    return _together([_rows(BY_ENDPOINT, env_id, part, narrow, columns) for part in spans])


def of_user(
    env_id: int, spans: Sequence[Part], narrow: Narrow | None = None, columns: tuple[str, ...] = _OF_USER
) -> Subquery:
    """Return rows of users: `at`, user_id, what was counted, and how many calls were errors or wrong turns.

    A user has several rows in a minute and one in an hour or a day: sum them. Or some of these columns, as `by_user`.
    """
    return _together(
        [
            _of_user_minutes(env_id, part, narrow, columns)
            if part.unit == "minute"
            else _rows(OF_USER, env_id, part, narrow, ("user_id", *columns))
            for part in spans
        ]
    )


def _together(selects: list[Select[*tuple[Any, ...]]]) -> Subquery:
    return (union_all(*selects) if len(selects) > 1 else selects[0]).subquery()


def _rows(
    tables: dict[Unit, Any], env_id: int, part: Part, narrow: Narrow | None, columns: tuple[str, ...]
) -> Select[*tuple[Any, ...]]:
    table = tables[part.unit].__table__.c  # the plain columns: those of the mapped class take twice as long to compose
    at = table.minute if "minute" in table else table.at
    wanted: list[Any] = [at.label("at"), *(table[column] for column in columns)]
    query = select(*wanted).where(table.env_id == env_id, at >= part.start, at < part.end)
    return query if narrow is None else query.where(narrow(table))


def _of_user_minutes(
    env_id: int, part: Part, narrow: Narrow | None, columns: tuple[str, ...]
) -> Select[*tuple[Any, ...]]:
    it: Any = UsageMinute.__table__.c
    sorts: dict[str, Callable[[], ColumnElement[bool]]] = {
        "client_errors": lambda: it.status.between(400, 499),
        "server_errors": lambda: it.status >= 500,
        "wrong_turns": lambda: is_wrong_turn(env_id, it),
    }
    wanted: list[Any] = [
        case((sorts[name](), it.calls), else_=0).label(name) if name in sorts else it[name] for name in columns
    ]
    query = select(it.minute.label("at"), it.user_id, *wanted)
    query = query.where(it.env_id == env_id, it.minute >= part.start, it.minute < part.end)
    return query if narrow is None else query.where(narrow(it))


def is_wrong_turn(env_id: int, table: Any) -> ColumnElement[bool]:
    """Return the condition that a row's calls went to what does not exist, or were not allowed or too many."""
    return or_(table.status.in_(WRONG_STATUSES), table.endpoint_id.in_(nowhere(env_id)))


@lru_cache(maxsize=64)
def nowhere(env_id: int) -> Select[int]:
    """Return the endpoints that stand for what does not exist."""
    return select(UsageEndpoint.id).where(UsageEndpoint.env_id == env_id, UsageEndpoint.route == UNMATCHED)


def one_of(column: Any, ids: Iterable[int]) -> ColumnElement[bool]:
    """Return the condition that a column is one of some numbers, given as one array.

    `in_` gives each by itself: a statement of its own, and a long one, for each number of them.
    """
    found: ColumnElement[bool] = column == any_(literal(list(ids), _NUMBERS))
    return found


def among(column: Any, ids: Select[int]) -> ColumnElement[bool]:
    """Return the condition that a column is one of the ids that a query finds.

    They are looked up once and then sought in an index; `in (select ...)` would join, and read every row of the span.
    """
    found: ColumnElement[bool] = column == any_(func.array(ids.scalar_subquery()))
    return found
