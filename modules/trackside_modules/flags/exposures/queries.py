"""What exposures tell: one function a question."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Date, cast, func, select
from sqlalchemy.orm import Session

from trackside_modules.flags.exposures.models import Exposure, ExposureDay


@dataclass(frozen=True, slots=True)
class Day:
    """A variant on a day (UTC)."""

    day: date
    variant: str
    evaluations: int
    users: int
    """Who were given it for the first time: users, and accounts where no user was told."""


def by_day(session: Session, env_id: int, flag_id: int, first: date, last: date) -> list[Day]:
    """Return the days from `first` to `last`, both included, on which a flag was evaluated, by day and variant."""
    it, seen = ExposureDay, Exposure
    counted = session.execute(
        select(it.day, it.variant, it.evaluations).where(
            it.env_id == env_id, it.flag_id == flag_id, it.day.between(first, last)
        )
    ).all()
    day = cast(func.timezone("UTC", seen.first_seen), Date)
    new = session.execute(
        select(day, seen.variant, func.count())
        .where(seen.env_id == env_id, seen.flag_id == flag_id, day.between(first, last))
        .group_by(day, seen.variant)
    )
    users = {(at, variant): number for at, variant, number in new}
    return sorted(
        (Day(at, variant, evaluations, users.get((at, variant), 0)) for at, variant, evaluations in counted),
        key=lambda each: (each.day, each.variant),
    )


def users(session: Session, env_id: int, flag_id: int) -> dict[str, int]:
    """Return how many users (and accounts without one) were ever given each variant of a flag."""
    it = Exposure
    number = func.count().label("number")
    query = select(it.variant, number).where(it.env_id == env_id, it.flag_id == flag_id).group_by(it.variant)
    return {row.variant: row.number for row in session.execute(query.order_by(it.variant))}


def last_evaluated(
    session: Session, env_id: int | None = None, flag_ids: Collection[int] | None = None
) -> dict[tuple[int, int], datetime]:
    """Return when each flag was evaluated last, by environment and flag; those that never were are missing."""
    it = ExposureDay
    query = select(it.env_id, it.flag_id, func.max(it.last_at)).group_by(it.env_id, it.flag_id)
    if env_id is not None:
        query = query.where(it.env_id == env_id)
    if flag_ids is not None:
        query = query.where(it.flag_id.in_(flag_ids))
    return {(env, flag): at for env, flag, at in session.execute(query)}


def sparklines(
    session: Session, env_id: int, flag_ids: Sequence[int], today: date, days: int = 14
) -> Mapping[int, list[int]]:
    """Return the evaluations of the last `days` days, the oldest first, of each of `flag_ids` that had any."""
    it, first = ExposureDay, today - timedelta(days=days - 1)
    query = select(it.flag_id, it.day, func.sum(it.evaluations)).where(
        it.env_id == env_id, it.flag_id.in_(flag_ids), it.day >= first
    )
    found: dict[int, list[int]] = {}
    for flag_id, day, evaluations in session.execute(query.group_by(it.flag_id, it.day)):
        place = (day - first).days
        if place < days:
            found.setdefault(flag_id, [0] * days)[place] = int(evaluations)
    return found
