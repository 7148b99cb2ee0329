"""What happened to the demo API in the 90 days before it was put into the workspace: one story, told by every module.

Usage shows it as calls, later modules as what people wrote, toggled and decided. Everything is placed by days before
the seeding and drawn from fixed seeds, so the same moment always gives the same past.

- Traffic has the shape of working days, rests on weekends, and has grown by some 60 % over the three months.
- `INCIDENT`: a carrier was away for an hour and a half, and tracking failed.
- `RELEASE`: a new version renders labels more slowly than the one before.
- Northgate Prints (`people.LAPSED`) called less and less, and then no more; others joined, one paused and came back.
- The bulk importer of Kestrel Parts calls more than all others, and runs into its limit.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from trackside.demo.people import LAPSED

DAYS = 90
"""How long the past is."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time before the seeding."""

    days_ago: float
    lasts: timedelta

    def within(self, now: datetime) -> tuple[datetime, datetime]:
        """Return its start, on a full minute, and its end, seen from `now`."""
        start = (now - timedelta(days=self.days_ago)).replace(second=0, microsecond=0)
        return start, start + self.lasts


INCIDENT = Span(23.1, timedelta(minutes=94))
RELEASE_DAYS_AGO = 12.0
RELEASES = ((DAYS, "2.3.0"), (51.0, "2.4.0"), (RELEASE_DAYS_AGO, "2.4.1"))
"""Versions of the demo API by the days before the seeding they went live."""
SLOWER_LABELS = 1.7
"""How much longer a label takes since the last release."""
_DECLINES, _LEFT = 46.0, 18.0
_JOINED = {"isla": 66.0, "elmstreet": 52.0, "lumen": 31.0, "alder": 10.0}
"""Accounts that were not there at the beginning, by the days before the seeding they first called."""
_PAUSED = {"harrow": (44.0, 24.0)}
"""Accounts that rested, and between which days."""
_GROWTH = 1.6
_MEAN = 0.8644


def busyness(at: datetime) -> float:
    """Return how busy the hour is: 1 on average over a week, highest on weekdays in the early afternoon (UTC)."""
    hour = at.hour + at.minute / 60
    day = 0.62 + 0.52 * math.exp(-(((hour - 10.0) / 3.2) ** 2)) + 0.66 * math.exp(-(((hour - 15.5) / 3.4) ** 2))
    return day * (0.58 if at.weekday() >= 5 else 1.1) / _MEAN


def at_work(at: datetime) -> float:
    """Return how much people do by hand at an hour: nothing outside of working hours (UTC)."""
    return 2.4 if at.weekday() < 5 and 7 <= at.hour < 18 else 0.0


def level(account_id: str, days_ago: float) -> float:
    """Return how much an account calls, in shares of what it calls (or called in its best days) now."""
    grown = math.pow(_GROWTH, -days_ago / DAYS)
    rests, returns = _PAUSED.get(account_id, (0.0, 0.0))
    if days_ago > _JOINED.get(account_id, DAYS + 1) or returns < days_ago <= rests:
        return 0.0
    if account_id != LAPSED:
        return grown
    return max(0.0, min(1.0, (days_ago - _LEFT) / (_DECLINES - _LEFT)))
