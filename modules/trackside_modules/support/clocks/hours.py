"""Business time between two moments, exact to the microsecond, over daylight-saving days too.

A moment is open when the clock on the wall there shows a time within an opening of that day. So on the day when clocks
go back, an opening that lies in the repeated hour is open twice; when they go forward, what does not exist is skipped.

A calendar is laid out once as a sorted line of openings with their running sum, some years at a time: each question is
a search in it. Our own, since packages for this count whole days or know no zones (see ADR 0208).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from trackside_modules.support.clocks.rules import Calendar, Opening

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND
FIRST_YEAR, LAST_YEAR = 1971, 2199
"""Outside of them nothing is open: no date there is more than a slip."""
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_SAMPLE = timedelta(minutes=30)
"""No zone has ever changed its offset twice within this."""
Stretch = tuple[int, int]
"""From and until, in microseconds since 1970."""


def micros(at: datetime) -> int:
    """Return microseconds since 1970."""
    return (at - EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class _Line:
    """The openings of some years, sorted, none touching another."""

    first: int
    last: int
    starts: list[int]
    ends: list[int]
    until: list[int]
    """Open time up to the end of each opening, from the first one."""

    def open_before(self, at: int) -> int:
        place = bisect_right(self.starts, at) - 1
        return 0 if place < 0 else self.until[place] - max(0, self.ends[place] - at)

    def reached(self, amount: int) -> int | None:
        """Return when `amount` had been open since the line's beginning; None: not within it."""
        place = bisect_left(self.until, amount)
        return self.ends[place] - (self.until[place] - amount) if place < len(self.until) else None


class Hours:
    """The opening hours of a calendar. Threads may share it."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._zone = ZoneInfo(calendar.zone)
        self._line = _Line(LAST_YEAR + 1, FIRST_YEAR - 1, [], [], [])

    def between(self, start: datetime, end: datetime) -> int:
        """Return the microseconds of business time from `start` to `end`; 0 where `end` is not later."""
        if end <= start:
            return 0
        line = self._reach(start.year - 1, end.year + 1)
        return line.open_before(micros(end)) - line.open_before(micros(start))

    def after(self, start: datetime, amount: int) -> datetime | None:
        """Return the first moment at which `amount` microseconds have been open since `start`; None: not in our time.

        `amount` is more than nothing.
        """
        ahead = 1
        while True:
            line = self._reach(start.year - 1, start.year + ahead)
            found = line.reached(line.open_before(micros(start)) + amount)
            if found is not None:
                return EPOCH + timedelta(microseconds=found)
            if start.year + ahead >= LAST_YEAR:
                return None
            ahead *= 3

    def is_open(self, at: datetime) -> bool:
        """Whether `at` is within an opening."""
        line = self._reach(at.year - 1, at.year + 1)
        place = bisect_right(line.starts, micros(at)) - 1
        return place >= 0 and micros(at) < line.ends[place]

    def _reach(self, first: int, last: int) -> _Line:
        """Return a line that has the years from `first` to `last`, as far as there are any."""
        line = self._line
        first, last = max(first, FIRST_YEAR), min(last, LAST_YEAR)
        if first > last or (line.first <= first and last <= line.last):
            return line
        self._line = line = self._laid_out(min(first, line.first), max(last, line.last))
        return line

    def _laid_out(self, first: int, last: int) -> _Line:
        line = _Line(first, last, [], [], [])
        for start, end in sorted(self._stretches(first, last)):
            if line.ends and start <= line.ends[-1]:
                line.until[-1] += max(0, end - line.ends[-1])
                line.ends[-1] = max(end, line.ends[-1])
            else:
                line.until.append((line.until[-1] if line.until else 0) + end - start)
                line.starts.append(start)
                line.ends.append(end)
        return line

    def _stretches(self, first: int, last: int) -> Iterator[Stretch]:
        closed = self._closed(range(first, last + 1))
        day, end = date(first, 1, 1), date(last + 1, 1, 1)
        while day < end:
            openings = () if day in closed else self._calendar.week[day.weekday()]
            if openings:
                yield from self._open(day, openings)
            day += _DAY

    def _open(self, day: date, openings: Sequence[Opening]) -> Iterator[Stretch]:
        midnight = micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
        for low, high, offset in self._pieces(day):
            for since, until in openings:
                opens = max(low, midnight + since * MINUTE - offset)
                closes = min(high, midnight + until * MINUTE - offset)
                if opens < closes:
                    yield opens, closes

    def _closed(self, years: range) -> set[date]:
        public = holidays(self._calendar.country, self._calendar.region, years)
        return (set(public) | set(self._calendar.closed)) - set(self._calendar.worked)

    def _pieces(self, day: date) -> list[tuple[int, int, int]]:
        """Return the stretches of constant offset around a local day: from, until, and the offset to UTC."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = midnight + _DAY
        before, after = self._offset(midnight), self._offset(end.replace(fold=1))
        if before == after:
            return [(micros(midnight) - before, micros(end) - after, before)]
        return list(self._turns(midnight - _DAY, end + _DAY))

    def _turns(self, at: datetime, end: datetime) -> Iterator[tuple[int, int, int]]:
        """Yield the stretches of constant offset from `at` to `end`."""
        since, offset = at, self._offset(at.astimezone(self._zone))
        while at < end:
            later = at + _SAMPLE
            if self._offset(later.astimezone(self._zone)) != offset:
                turn = self._turn(at, later, offset)
                yield micros(since), micros(turn), offset
                since, offset = turn, self._offset(turn.astimezone(self._zone))
            at = later
        yield micros(since), micros(end), offset

    def _turn(self, low: datetime, high: datetime, offset: int) -> datetime:
        """Return the first second at which the offset is another, between `low` and `high`."""
        while high - low > timedelta(seconds=1):
            middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
            low, high = (middle, high) if self._offset(middle.astimezone(self._zone)) == offset else (low, middle)
        return high

    def _offset(self, at: datetime) -> int:
        """Return the offset to UTC, in microseconds, when the clock on the wall shows `at`."""
        return (self._zone.utcoffset(at.replace(tzinfo=None)) or timedelta()) // _MICROSECOND


@lru_cache(maxsize=64)
def hours_of(calendar: Calendar) -> Hours:
    """Return the hours of a calendar, laid out once a process."""
    return Hours(calendar)


def holidays(country: str, region: str, years: range) -> list[date]:
    """Return the public holidays of a country, or of a region of it; none where `country` is empty."""
    if not country:
        return []
    from holidays import country_holidays  # slow to import, and most calendars have none

    return sorted(country_holidays(country, subdiv=region or None, years=years))
