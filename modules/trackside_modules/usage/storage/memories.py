"""Making what pages remember: the hours, days and weeks that are over, the shortest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside_modules.usage.models import (
    UsageCrowd,
    UsageErrorSum,
    UsageFailure,
    UsageRemembered,
    UsageSum,
    UsageTurn,
)
from trackside_modules.usage.storage import crowds, errors, failures, minutes, pulse, sums, turns
from trackside_modules.usage.storage.memory import KEEP, STEPS, Unit, dirty, floor

_MADE: tuple[tuple[type[UsageSum | UsageCrowd | UsageFailure | UsageTurn | UsageErrorSum], Any], ...] = (
    (UsageSum, sums.made),
    (UsageCrowd, crowds.made),
    (UsageFailure, failures.made),
    (UsageTurn, turns.made),
    (UsageErrorSum, errors.made),
)
"""Each table, and what makes its rows."""
_AT_ONCE: dict[Unit, int] = {"hour": 24, "day": 1, "week": 1}


def fill(session: Session, env_id: int, now: datetime, most: int = 2000) -> int:
    """Make what is missing or forgotten, drop what is too old, commit as it goes; return how many were made."""
    begin, made = pulse.first(session, env_id), 0
    for unit in reversed(STEPS) if begin else ():
        oldest = floor(unit, now - KEEP[unit])
        for table in (UsageRemembered, *(table for table, _ in _MADE)):
            session.execute(delete(table).where(table.env_id == env_id, table.unit == unit, table.at < oldest))
        start, end = max(oldest, floor(unit, begin or now)), floor(unit, now)
        missing = _missing(session, env_id, unit, start, end)[: max(0, most - made)]
        for first, last in _batches(missing, unit):
            _make(session, env_id, unit, first, last)
            session.commit()
        made += len(missing)
    return made


def fill_minutes(session: Session, env_id: int, now: datetime) -> None:
    """Make the pieces of the last minutes, for processes that hold none yet (see `minutes`), and commit."""
    for what, make in (("crowd", crowds.of_minutes), ("turns", turns.of_minutes)):
        minutes.fill(session, env_id, what, make, now)
        session.commit()


def _missing(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> list[datetime]:
    """Return the buckets to be made, the latest first: pages about today are asked for most."""
    it = UsageRemembered
    query = select(it.at).where(it.env_id == env_id, it.unit == unit, it.at >= start, it.at < end, it.fresh)
    there = set(session.scalars(query)) | dirty(session, env_id, unit, start, end)
    every = (start + STEPS[unit] * place for place in range((end - start) // STEPS[unit]))
    return [at for at in every if at not in there][::-1]


def _batches(starts: Sequence[datetime], unit: Unit) -> list[tuple[datetime, datetime]]:
    """Return stretches without a gap of as many buckets as are made together."""
    found: list[tuple[datetime, datetime]] = []
    for at in starts:
        first, last = found[-1] if found else (at, at)
        if found and first == at + STEPS[unit] and (last - at) // STEPS[unit] <= _AT_ONCE[unit]:
            found[-1] = (at, last)
        else:
            found.append((at, at + STEPS[unit]))
    return found


def _make(session: Session, env_id: int, unit: Unit, start: datetime, end: datetime) -> None:
    """Make the buckets of `[start, end)`; what has become dirty since is made when it no longer is."""
    session.execute(select(func.pg_advisory_xact_lock(pulse.LOCK, env_id)))
    made = [(table, make(session, env_id, unit, start, end)) for table, make in _MADE]
    gone = dirty(session, env_id, unit, start, end)
    times = [start + STEPS[unit] * place for place in range((end - start) // STEPS[unit])]
    times = [at for at in times if at not in gone]
    for table, all_ in made:
        session.execute(delete(table).where(table.env_id == env_id, table.unit == unit, table.at.in_(times)))
        if rows := [row for row in all_ if row["at"] not in gone]:
            session.execute(insert(table), rows)
    again = {"fresh": True, "made_at": func.clock_timestamp()}
    marks = insert(UsageRemembered).on_conflict_do_update(index_elements=["env_id", "unit", "at"], set_=again)
    if times:
        session.execute(marks, [{"env_id": env_id, "unit": unit, "at": at, "fresh": True} for at in times])
