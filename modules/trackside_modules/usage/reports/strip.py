"""The strip of active days: a square for each of the last ninety, the stronger the more calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from trackside.web.format import plural
from trackside_modules.usage.queries.customer import STRIP
from trackside_modules.usage.queries.window import DAY, floor

LEVELS = 4
FAILED = 0.05
"""A day is marked where more than this share of its calls failed: a few do on any day."""


@dataclass(frozen=True, slots=True)
class Day:
    """A square: where it stands, how strong it is (0 for no calls), whether calls failed, and what it says."""

    x: int
    y: int
    level: int
    failed: bool
    words: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The squares, in columns of weeks that begin on Mondays."""

    days: Sequence[Day]
    weeks: int
    active: int
    """Days with calls."""
    months: Sequence[tuple[int, str]]
    """The column in which a month begins, and its name."""


def strip(calls: Mapping[date, tuple[int, int]], now: datetime) -> Strip:
    """Return the strip of the days up to now from calls and failed calls by day (UTC)."""
    first = (floor(now, DAY) - (STRIP - 1) * DAY).date()
    monday = first - timedelta(days=first.weekday())
    most = max((count for count, _ in calls.values()), default=1)
    days, months = [], []
    for place in range(STRIP):
        day = first + timedelta(days=place)
        count, failed = calls.get(day, (0, 0))
        x, y = divmod((day - monday).days, 7)
        level = -(-count * LEVELS // most) if count else 0
        words = f"{day.day} {day:%b}: {plural(count, 'request') if count else 'nothing'}"
        days.append(Day(x, y, level, failed > count * FAILED, words + (f", {failed:,} failed" if failed else "")))
        if day.day == 1:
            months.append((x, f"{day:%b}"))
    return Strip(days, days[-1].x + 1, sum(1 for each in days if each.level), months)
