"""Errors in groups of alike ones: how often in a span, since when, since which version, and for how many users."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pyroaring import BitMap64
from sqlalchemy import BigInteger, ColumnElement, func, literal, literal_column, or_, select, tuple_
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpoint, UsageError, UsageVersion
from trackside_modules.usage.queries.window import Window, floor
from trackside_modules.usage.storage import closed, errors, memory, reach, tiers
from trackside_modules.usage.storage.hung import hung, numbers, run, united

_SOON = timedelta(hours=1)
"""An error first seen within this time of a version's first sight came with it, as far as one can tell."""
ORDERS = ("-calls", "-seen", "-first")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page asks for; empty is everything."""

    env_id: int
    span: Window
    service: str = ""
    endpoint_id: int | None = None
    status: str = ""
    """`4` or `5` for a class, or one status such as `503`."""
    q: str = ""
    only_new: bool = False
    order: str = "-calls"


@dataclass(frozen=True, slots=True)
class Group:
    """Failures alike, in a span."""

    error: UsageError
    endpoint: UsageEndpoint | None
    calls: int
    users: int
    trend: list[float | None]
    """Calls in each bucket of the span."""
    is_new: bool
    """Whether it was first seen in the span."""
    version: str
    """The version it came with, as far as one can tell; empty where none."""


def groups(
    session: Session, wanted: Wanted, after: tuple[int, int] | None = None, limit: int | None = 50
) -> tuple[list[Group], tuple[int, int] | None]:
    """Return the groups with failures in the span, and the place (rank, id) where the next begin."""
    it = errors.of(wanted.env_id, _plan(session, wanted, "week", "day")).c
    counted = select(it.error_id, func.sum(it.calls).label("calls")).group_by(it.error_id).subquery()
    ranks: dict[str, ColumnElement[Any]] = {
        "-calls": counted.c.calls.cast(BigInteger),
        "-seen": func.extract("epoch", UsageError.last_seen_at).cast(BigInteger),
        "-first": func.extract("epoch", UsageError.first_seen_at).cast(BigInteger),
    }
    rank = ranks[wanted.order]
    query = (
        select(UsageError, UsageEndpoint, counted.c.calls, rank.label("rank"))
        .join(counted, counted.c.error_id == UsageError.id)
        .outerjoin(UsageEndpoint, UsageEndpoint.id == UsageError.endpoint_id)
        .where(*_narrowed(wanted))
        .order_by(rank.desc(), UsageError.id.desc())
        .limit(limit + 1 if limit else None)
    )
    if after is not None:
        query = query.where(tuple_(rank, UsageError.id) < tuple_(*(literal(part, BigInteger) for part in after)))
    rows = session.execute(query).all()
    last = rows[limit - 1] if limit and len(rows) > limit else None
    return described(session, wanted, rows[:limit]), (int(last[3]), last[0].id) if last else None


def any_known(session: Session, env_id: int) -> bool:
    """Whether a service of the environment ever told of an error."""
    return session.scalar(select(UsageError.id).where(UsageError.env_id == env_id).limit(1)) is not None


def _plan(session: Session, wanted: Wanted, *units: memory.Unit) -> memory.Plan:
    """Return how the hours of the span are read, whole ones."""
    span = wanted.span
    return memory.plan(session, wanted.env_id, memory.floor("hour", span.start), span.end, units)


def _narrowed(wanted: Wanted) -> list[ColumnElement[bool]]:
    it = UsageError
    found = [it.env_id == wanted.env_id]
    if wanted.service:
        found.append(it.service == wanted.service)
    if wanted.endpoint_id is not None:
        found.append(it.endpoint_id == wanted.endpoint_id)
    if len(wanted.status) == 1:
        found.append(it.status.between(int(wanted.status) * 100, int(wanted.status) * 100 + 99))
    elif wanted.status:
        found.append(it.status == int(wanted.status))
    if wanted.only_new:
        found.append(it.first_seen_at >= wanted.span.start)
    if wanted.q:
        columns = (it.error, it.message, UsageEndpoint.route)
        found.append(or_(*(column.icontains(wanted.q, autoescape=True) for column in columns)))
    return found


def described(session: Session, wanted: Wanted, rows: Sequence[Any]) -> list[Group]:
    """Return groups, given rows of error, endpoint, calls in the span, and anything."""
    ids = [row[0].id for row in rows]
    step = max(wanted.span.step, timedelta(hours=1))
    start = floor(wanted.span.start, step)
    buckets = -((start - wanted.span.end) // step)
    times = [int((start + step * place).timestamp()) for place in range(buckets)]
    trends = _trends(session, wanted, ids, start, step)
    planned = _plan(session, wanted, "week", "day")
    met: dict[int, BitMap64] = defaultdict(BitMap64)
    for users in closed.pieces(
        session, ("errors", wanted.env_id, *ids), planned, lambda plan: _met_of(session, wanted, plan, ids)
    ):
        for id_, known in users.items():
            met[id_] |= known
    who, released = reach.people(session), versions(session, wanted.env_id)
    return [
        Group(
            error,
            endpoint,
            int(calls),
            len(who.of(met[error.id])),
            [trends.get((error.id, at), 0) for at in times],
            error.first_seen_at >= wanted.span.start,
            came_with(released[error.service], error.first_seen_at),
        )
        for error, endpoint, calls, _ in rows
    ]


def _met_of(session: Session, wanted: Wanted, planned: memory.Plan, ids: Sequence[int]) -> dict[int, BitMap64]:
    """Return who met these errors in a plan."""
    it = errors.of(wanted.env_id, planned, lambda table: tiers.one_of(table.error_id, ids)).c
    rows = session.execute(select(it.error_id, *hung(it.users)).group_by(it.error_id))
    return {id_: united(*users) for id_, *users in rows}


def _trends(
    session: Session, wanted: Wanted, ids: Sequence[int], start: datetime, step: timedelta
) -> dict[tuple[int, int], int]:
    """Return the calls of these errors by bucket (seconds)."""
    days: tuple[memory.Unit, ...] = ("day",) if step % timedelta(days=1) == timedelta() else ()
    it = errors.of(wanted.env_id, _plan(session, wanted, *days), lambda table: tiers.one_of(table.error_id, ids)).c
    at = func.extract("epoch", func.date_bin(step, it.at, start)).label("bin")
    query = select(it.error_id, at, func.sum(it.calls).label("calls")).group_by(it.error_id, literal_column("2"))
    each = query.subquery().c
    columns = session.execute(select(*map(run, (each.error_id, each.bin, each.calls)))).one()
    id_, bins, calls = (numbers(column).tolist() for column in columns)
    return dict(zip(zip(id_, bins, strict=True), calls, strict=True))


def versions(session: Session, env_id: int) -> dict[str, list[UsageVersion]]:
    """Return the versions of each service, the first seen first."""
    found: dict[str, list[UsageVersion]] = defaultdict(list)
    query = select(UsageVersion).where(UsageVersion.env_id == env_id).order_by(UsageVersion.first_seen_at)
    for version in session.scalars(query):
        found[version.service].append(version)
    return found


def came_with(released: Sequence[UsageVersion], first_seen: datetime) -> str:
    """Return the version that was first seen soon before an error was; the first one ever says nothing."""
    for version in reversed(released[1:]):
        if timedelta() <= first_seen - version.first_seen_at <= _SOON:
            return version.version
    return ""
