"""The span of time a page shows: a named range up to now or one from-to, cut into buckets, and the same span before it.

A chart has 15 to 120 buckets. Steps of a minute are read from minutes, so only short ranges have them; from an hour on
buckets are whole hours of UTC, from a day on whole days of UTC, as the tiers keep them (see `tiers`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trackside_modules.usage.storage.tiers import Unit, unit_for

MINUTE, HOUR, DAY, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)

RANGES: dict[str, tuple[str, timedelta, timedelta]] = {
    "15m": ("15 min", timedelta(minutes=15), MINUTE),
    "1h": ("1 h", HOUR, MINUTE),
    "6h": ("6 h", 6 * HOUR, 5 * MINUTE),
    "24h": ("24 h", DAY, HOUR),
    "7d": ("7 d", WEEK, 2 * HOUR),
    "30d": ("30 d", 30 * DAY, DAY),
    "90d": ("90 d", 90 * DAY, DAY),
    "13mo": ("13 mo", 57 * WEEK, WEEK),
}
"""Label, length and bucket of each range, by its name in the URL; 57 weeks hold any 13 months."""
DEFAULT = "1h"
CUSTOM = "custom"
_STEPS = (
    (2 * HOUR, MINUTE),
    (10 * HOUR, 5 * MINUTE),
    (5 * DAY, HOUR),
    (10 * DAY, 2 * HOUR),
    (20 * DAY, 6 * HOUR),
    (120 * DAY, DAY),
)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
"""Weeks begin on Mondays; every shorter step divides the time since as well."""


@dataclass(frozen=True, slots=True)
class Window:
    """`[start, end)` in buckets of `step`; the last bucket may be going on at `now`."""

    name: str
    start: datetime
    end: datetime
    step: timedelta
    now: datetime

    @property
    def times(self) -> list[datetime]:
        """Return the starts of the buckets."""
        return [self.start + self.step * place for place in range((self.end - self.start) // self.step)]

    @property
    def unit(self) -> Unit:
        """The coarsest tier that its buckets can be read from."""
        return unit_for(self.step)

    @property
    def until(self) -> datetime:
        """The end of what can have been counted by `now`."""
        return min(self.end, self.now)

    def previous(self) -> "Window":
        """Return the span of the same length just before, up to the same point in its last bucket.

        Where minutes or hours are no longer kept of that time, the point is the last whole hour or day before it.
        """
        length = self.end - self.start
        kept = MINUTE if length < WEEK else HOUR if length <= 190 * DAY else DAY
        now = self.now - length if kept == MINUTE else floor(self.now - length, kept)
        return Window(self.name, self.start - length, self.end - length, self.step, now)

    def elapsed(self, at: datetime) -> timedelta:
        """Return how much of the bucket that starts `at` is over."""
        return min(self.step, max(timedelta(), self.now - at))


def window(name: str, now: datetime) -> Window:
    """Return the range called `name`, or the default one where there is none of that name."""
    name = name if name in RANGES else DEFAULT
    _, length, step = RANGES[name]
    end = floor(now, step) + step
    return Window(name, end - length, end, step, now)


def between(start: datetime, end: datetime, now: datetime, least: timedelta = MINUTE) -> Window:
    """Return the span that holds `[start, end)`, widened to whole buckets of at least `least`."""
    step = max(least, next((step for longest, step in _STEPS if end - start <= longest), WEEK))
    first, last = floor(start, step), floor(end, step)
    return Window(CUSTOM, first, last if last == end else last + step, step, now)


def floor(at: datetime, step: timedelta) -> datetime:
    """Return the start of the bucket that `at` falls into."""
    return _MONDAY + (at.astimezone(UTC) - _MONDAY) // step * step
