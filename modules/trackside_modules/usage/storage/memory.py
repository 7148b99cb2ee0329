"""Which hours, days and weeks pages remember, and which they read from the tiers.

A page about a quarter would read ninety days of every endpoint and status, or of every user: half a million rows. So
what is over is kept summed: the calls of each endpoint (`sums`) and of each user (`crowds`), by hour, day and week.
That is a memory, not a truth: what is not remembered, going on or dirty is read from the tiers, and both together are
what the tiers alone would have said. Who changes an hour or day that is not marked dirty calls `forget` in the same
transaction; who takes a mark away calls it before, while the mark still stands (see `pulse`, which is kept likewise).

A forgotten bucket keeps its rows until it is made anew: a page that had begun to read them gets the sums of a moment
ago, and never a hole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg import Connection
from sqlalchemy import ARRAY, ColumnElement, DateTime, and_, any_, bindparam, false, literal, or_, select
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageRemembered
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.once import held
from trackside_modules.usage.storage.tiers import Part

Unit = Literal["hour", "day", "week"]
STEPS: dict[Unit, timedelta] = {"week": timedelta(days=7), "day": timedelta(days=1), "hour": timedelta(hours=1)}
"""The length of each, the longest first."""
KEEP: dict[Unit, timedelta] = {"week": timedelta(days=7300), "day": timedelta(days=210), "hour": timedelta(days=16)}
"""How long each is remembered: what pages show by it, and as long before, and some days."""
MADE_OF: dict[Unit, tuple[Unit, ...]] = {"week": ("day",), "day": (), "hour": ("hour",)}
"""By which units one is read when it is made: weeks from remembered days."""
_TIERS: dict[Unit, tiers.Unit] = {"week": "day", "day": "day", "hour": "hour"}
_TIMES = ARRAY(DateTime(timezone=True))

_IT = UsageRemembered.__table__.c
_FRESH = select(_IT.unit, _IT.at, _IT.made_at).where(
    _IT.env_id == bindparam("env"), _IT.at >= bindparam("start"), _IT.at < bindparam("end"), _IT.fresh
)
"""Composed once: each page asks it."""

_FORGET = """
update usage_remembered r set fresh = false from (
    select distinct 'week' unit, date_trunc('week', c, 'UTC') at from unnest(%(at)s::timestamptz[]) c
    union all select distinct 'day', date_trunc('day', c, 'UTC') from unnest(%(at)s::timestamptz[]) c
    union all select 'hour', c from unnest(%(at)s::timestamptz[]) c where %(tier)s = 'hour'
) changed where r.env_id = %(env)s and r.unit = changed.unit and r.at = changed.at and r.fresh
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a span is read: the buckets that are remembered, by unit, and the rest in parts of the tiers."""

    kept: dict[Unit, list[datetime]] = field(default_factory=dict[Unit, list[datetime]])
    parts: list[Part] = field(default_factory=list[Part])
    made: tuple[tuple[Unit, datetime, datetime], ...] = ()
    """Each bucket that is remembered, and when it was made: the same again where nothing of it has changed."""

    def among(self, table: Any) -> ColumnElement[bool]:
        """Return the condition that a row of what is remembered is of one of the buckets."""
        each = [and_(table.unit == unit, table.at == any_(literal(at, _TIMES))) for unit, at in self.kept.items()]
        return or_(false(), *each)

    def over(self) -> list[Part]:
        """Return the buckets that are remembered as parts of the tiers, which hold the same."""
        found: list[Part] = []
        for unit, times in self.kept.items():
            for at in times:
                if found and found[-1].end == at and found[-1].unit == _TIERS[unit]:
                    found[-1] = Part(_TIERS[unit], found[-1].start, at + STEPS[unit])
                else:
                    found.append(Part(_TIERS[unit], at, at + STEPS[unit]))
        return found


def plan(session: Session, env_id: int, start: datetime, end: datetime, units: Sequence[Unit]) -> Plan:
    """Return how `[start, end)` is read, from what is remembered by `units` and from the tiers for the rest.

    The tiers are read by days too where `units` has days or weeks, else by hours.
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    return held(
        session,
        f"plan {start} {end} {units}",
        (env_id, start, end),
        lambda *_: _plan(session, env_id, start, end, units),
    )


def _plan(session: Session, env_id: int, start: datetime, end: datetime, units: Sequence[Unit]) -> Plan:
    marks = tiers.dirty(session, env_id, start, end)
    fresh = _fresh(session, env_id, start, end)
    gone = {(unit, at) for unit in STEPS for at in _changed(unit, marks)}
    wanted: list[tuple[Unit, timedelta, dict[datetime, datetime]]] = [
        (unit, step, fresh.get(unit, {})) for unit, step in STEPS.items() if unit in units
    ]
    found, rest = Plan(), list[tuple[datetime, datetime]]()
    at, made = start, list[tuple[Unit, datetime, datetime]]()
    while at < end:
        for unit, step, times in wanted:
            if at in times and at + step <= end and (unit, at) not in gone:
                found.kept.setdefault(unit, []).append(at)
                made.append((unit, at, times[at]))
                at += step
                break
        else:
            stop = min(end, floor("hour", at) + STEPS["hour"])
            rest.append((rest.pop()[0] if rest and rest[-1][1] == at else at, stop))
            at = stop
    for first, last in rest:
        found.parts.extend(tiers.cut(first, last, "hour" if set(units) == {"hour"} else "day", marks))
    return replace(found, made=tuple(made))


def settled(session: Session, env_id: int, parts: Sequence[Part]) -> tuple[Plan, list[Part]]:
    """Return the minutes of parts that lie in remembered hours, as a plan, and the rest.

    Such minutes are over, and change only with their hour; so what is read of them can be held (see `closed`).
    """
    over, rest, made = list[Part](), list[Part](), list[tuple[Unit, datetime, datetime]]()
    for part in parts:
        if part.unit != "minute" or part.start >= part.end:
            rest.append(part)
            continue
        hours = _fresh(session, env_id, floor("hour", part.start), part.end).get("hour", {})
        gone = dirty(session, env_id, "hour", part.start, part.end)
        at = part.start
        while at < part.end:
            hour = floor("hour", at)
            stop = min(part.end, hour + STEPS["hour"])
            still = hour in hours and hour not in gone
            into = over if still else rest
            joins = bool(into) and into[-1].unit == "minute" and into[-1].end == at
            into.append(Part("minute", into.pop().start if joins else at, stop))
            if still:
                made.append(("hour", hour, hours[hour]))
            at = stop
    return Plan(parts=over, made=tuple(made)), rest


def _fresh(session: Session, env_id: int, start: datetime, end: datetime) -> dict[Unit, dict[datetime, datetime]]:
    """Return the buckets of a span (or a longer one) that are remembered and not forgotten, and when each was made."""

    def read(start: datetime, end: datetime) -> dict[Unit, dict[datetime, datetime]]:
        found: dict[Unit, dict[datetime, datetime]] = {}
        for unit, at, made in session.execute(_FRESH, {"env": env_id, "start": start, "end": end}):
            found.setdefault(unit, {})[at] = made
        return found

    return held(session, "remembered", (env_id, start, end), read)


def dirty(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> set[datetime]:
    """Return the hours, days or weeks of `[start, end)` that calls were added to since they were made."""
    return _changed(unit, tiers.dirty(session, env_id, start, end))


def _changed(unit: Unit, marks: Iterable[tuple[str, datetime]]) -> set[datetime]:
    return {floor(unit, at) for tier, at in marks if tier == "hour" or unit != "hour"}


def floor(unit: Unit, at: datetime) -> datetime:
    """Return the start of the hour, day or week (Monday, UTC) that `at` is in."""
    at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return at
    return at.replace(hour=0) - timedelta(days=at.weekday() if unit == "week" else 0)


def forget(connection: Connection[Any], env_id: int, tier: str, changed: Sequence[datetime]) -> None:
    """No longer trust what is remembered of hours or days (`tier`) that change; see `pulse.forget` for the lock."""
    connection.execute(_FORGET, {"env": env_id, "tier": tier, "at": changed})
