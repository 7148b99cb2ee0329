"""The span of time a page shows: a named range up to now, cut into buckets, and the same span before it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)

RANGES: dict[str, tuple[str, timedelta, timedelta]] = {
    "15m": ("15 min", timedelta(minutes=15), MINUTE),
    "1h": ("1 h", timedelta(hours=1), MINUTE),
    "6h": ("6 h", timedelta(hours=6), timedelta(minutes=5)),
    "24h": ("24 h", timedelta(hours=24), timedelta(minutes=15)),
    "7d": ("7 d", timedelta(days=7), timedelta(hours=2)),
}
"""Label, length and bucket of each range, by its name in the URL."""
DEFAULT = "1h"


@dataclass(frozen=True, slots=True)
class Window:
    """`[start, end)` in buckets of `step`; the last bucket is the one going on at `now`."""

    name: str
    start: datetime
    end: datetime
    step: timedelta
    now: datetime

    @property
    def times(self) -> list[datetime]:
        """Return the starts of the buckets."""
        return [self.start + self.step * place for place in range((self.end - self.start) // self.step)]

    def previous(self) -> "Window":
        """Return the span of the same length just before, up to the same point in its last bucket."""
        length = self.end - self.start
        return Window(self.name, self.start - length, self.end - length, self.step, self.now - length)

    def elapsed(self, at: datetime) -> timedelta:
        """Return how much of the bucket that starts `at` is over."""
        return min(self.step, max(timedelta(), self.now - at))


def window(name: str, now: datetime) -> Window:
    """Return the range called `name`, or the default one where there is none of that name."""
    name = name if name in RANGES else DEFAULT
    _, length, step = RANGES[name]
    seconds = int(step.total_seconds())
    end = datetime.fromtimestamp((int(now.timestamp()) // seconds + 1) * seconds, UTC)
    return Window(name, end - length, end, step, now)
