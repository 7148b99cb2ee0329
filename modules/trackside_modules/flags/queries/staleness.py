"""Flags that have had their day, and how one sees it: the evidence, never a guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.workspace import Environment, environments
from trackside_modules.flags import shape
from trackside_modules.flags.exposures.models import ExposureDay
from trackside_modules.flags.queries.listing import Row

CONSTANT = timedelta(days=30)
"""After how long the same answer for everybody is one that the code could give by itself."""
UNASKED = timedelta(days=30)
NEVER_ASKED = timedelta(days=14)
PASSING = ("release", "experiment")
"""Kinds that are made to go; the others may stay as they are for years."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason to take a flag out."""

    code: str
    """`ended`, `constant`, `unasked` or `never-asked`."""
    text: str
    """For people."""
    since: datetime


def last_evaluated(session: Session, flag_ids: Sequence[int]) -> dict[int, date]:
    """Return the last day on which each flag was evaluated in any environment; those never evaluated are left out."""
    query = select(ExposureDay.flag_id, func.max(ExposureDay.day)).where(ExposureDay.flag_id.in_(flag_ids))
    return {row[0]: row[1] for row in session.execute(query.group_by(ExposureDay.flag_id))}


def evidence(session: Session, rows: Sequence[Row], *, now: datetime) -> dict[int, list[Evidence]]:
    """Return why flags are stale, by id; one that is not has an empty list."""
    known = environments(session)
    days = last_evaluated(session, [row.flag.id for row in rows])
    return {row.flag.id: list(_of(row, known, days.get(row.flag.id), now)) for row in rows}


def _of(row: Row, known: Sequence[Environment], day: date | None, now: datetime) -> list[Evidence]:
    flag = row.flag
    if flag.archived_at is not None:
        return []
    found = []
    if flag.expected_end is not None and flag.expected_end < now:
        found.append(Evidence("ended", f"It should have been gone by {_day(flag.expected_end)}.", flag.expected_end))
    if flag.kind in PASSING:
        found += _constant(row, known, now)
    last = datetime.combine(day, time(), UTC) if day else None
    if last is None and now - flag.created_at >= NEVER_ASKED:
        words = f"Nobody has asked for it since it was made on {_day(flag.created_at)}."
        found.append(Evidence("never-asked", words, flag.created_at))
    elif last is not None and now - last >= UNASKED:
        found.append(Evidence("unasked", f"Nobody has asked for it since {_day(last)}.", last))
    return found


def _constant(row: Row, known: Sequence[Environment], now: datetime) -> list[Evidence]:
    """Return that everybody gets the same: what is on in the first environment, or off in all of them."""
    answers = []
    for environment in known:
        state = row.states.get(environment.id)
        if state is None:
            continue
        variant = shape.verdict(state.config, now) if state.next_step_at is None else None
        answers.append((environment, variant, variant == state.config["off"], state.since))
    if not answers:
        return []
    environment, variant, off, since = answers[0]
    if variant is not None and not off and now - since >= CONSTANT:
        return [Evidence("constant", f"Everybody in {environment.name} gets {variant} since {_day(since)}.", since)]
    since = max(each[3] for each in answers)
    if all(each[2] for each in answers) and now - since >= CONSTANT:
        return [Evidence("constant", f"It is off for everybody, everywhere, since {_day(since)}.", since)]
    return []


def _day(at: datetime) -> str:
    return f"{at:%-d %B %Y}"
