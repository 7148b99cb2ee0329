"""Requests summed by (method, route, status, user, account): what each request pays for, so kept short.

A request leaves one record in a queue, without a lock; each `BATCH` of them are added up at once, which costs a request
several times less than doing so by itself, its memory cold after the application's own work.

The latency is an exponential histogram of scale 4 (base `2^(1/16)`, in seconds), the very buckets the server keeps, so
nothing is lost on the way. Memory is bounded: over `MOST_SERIES` users are left out, over twice that also routes, and
how many requests that touched is told to the server.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from math import ceil, log2
from threading import Lock
from typing import NamedTuple

from trackside_client._transport import notes

SCALE = 4
_PER_DOUBLING = 1 << SCALE
_LOWEST = ceil(log2(10e-6) * _PER_DOUBLING) - 1
LONGEST = 3600.0
HIGHEST = ceil(log2(LONGEST) * _PER_DOUBLING) - 1
ZERO = _LOWEST - 1
SHORTEST = 2.0 ** ((ZERO + 1) / _PER_DOUBLING)
"""Seconds: what is not longer counts in `ZERO`, the bucket sent as OTLP's zero count."""

MOST_SERIES = 5000
"""Different series in a window; each may cost a kilobyte."""
BATCH = 64
"""Records that are added up at once."""
_MOST_WINDOWS = 16
OTHER = "(other)"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
"""Every other method counts as `_OTHER`."""
_LONGEST_ROUTE = 300
_MINUTE = 60_000_000_000

Key = tuple[str, "str | None", int, str, str]
"""Method, route (None where none matched), status, user, account (empty where unknown)."""
Noted = tuple[str, "str | None", "int | str", str, str]
"""A key as a request leaves it: any method, a route of any length, and the status perhaps as WSGI's line."""
Record = tuple[Noted, float, float]
"""Such a key, then when the request began and ended by `time.perf_counter`."""


class Series:
    """What the requests of one key add up to; times in seconds."""

    __slots__ = ("buckets", "longest", "total")

    def __init__(self) -> None:
        self.buckets: defaultdict[int, int] = defaultdict(int)
        self.total = 0.0
        self.longest = 0.0


class Window(NamedTuple):
    """The requests that ended after `start` and up to `end` (nanoseconds since 1970), never across a minute."""

    start: int
    end: int
    series: dict[Key, Series]
    folded: int
    """Requests whose user or route was left out because there were too many."""

    @property
    def calls(self) -> int:
        """How many requests it holds."""
        return sum(sum(each.buckets.values()) for each in self.series.values())


def index_of(seconds: float) -> int:
    """Return the bucket of a duration: the server's own rule."""
    if seconds <= SHORTEST:
        return ZERO
    if seconds >= LONGEST:
        return HIGHEST
    return ceil(log2(seconds) * _PER_DOUBLING) - 1


def code_of(status: int | str) -> int:
    """Return the code of a status or of WSGI's status line; 500, with a line in the log, where it has none."""
    if isinstance(status, int):
        return status
    try:
        return int(status[:3])
    except ValueError:
        notes.once("status", "the application answered with a status that is none: %r", status[:100])
        return 500


class Counters:
    """Adds up requests of all threads; a window ends with each minute, or when it is taken."""

    def __init__(self, most: int = MOST_SERIES, on_fold: Callable[[], None] | None = None) -> None:
        """Count up to `most` series by name; `on_fold` is called with the first request, and now and then after it."""
        self._most, self._on_fold = most, on_fold
        self.noted: deque[Record] = deque()
        self.reset()

    def reset(self) -> None:
        """Forget everything, also who holds the lock: what a forked child does first."""
        self._lock = Lock()
        self.noted.clear()
        self.enough = 1
        self._windows: list[Window] = []
        self.lost = 0
        self._open(time.time_ns())

    def add(self, key: Noted, began: float, ended: float) -> None:
        """Count a request; its times are `time.perf_counter`'s. May be called from anywhere, a destructor too.

        What each request pays for has these lines in place: a call costs as much again.
        """
        noted = self.noted
        noted.append((key, began, ended))
        if len(noted) >= self.enough:
            self.fold()

    def fold(self) -> None:
        """Add up what was noted, unless this or another thread is about it."""
        if self._on_fold is not None:
            self._on_fold()
        if self._lock.acquire(blocking=False):
            try:
                self.enough = BATCH
                self._fold()
            finally:
                self._lock.release()

    def _fold(self) -> None:
        """Add up what was noted so far; the caller holds the lock."""
        next_one, known, turns = self.noted.popleft, self._known, self._turns
        for _ in range(len(self.noted)):
            key, began, ended = next_one()  # one by one: what cannot be added up costs no other
            if ended >= turns:
                self._turn(self._boundary)
                known, turns = self._known, self._turns
            try:
                series = known[key]
            except KeyError:
                series = self._find(key)
            seconds = ended - began
            index = ceil(log2(seconds) * 16) - 1 if SHORTEST < seconds < LONGEST else index_of(seconds)
            series.buckets[index] += 1
            series.total += seconds
            if seconds > series.longest:  # noqa: PLR1730 - `max` would cost more than all the rest of it
                series.longest = seconds

    def take(self) -> list[Window]:
        """Return all windows that hold requests, and begin anew."""
        with self._lock:
            self._fold()
            # a window that the clock says is over, but no request has closed yet, ended with its minute
            late = self._boundary if time.perf_counter() >= self._turns else time.time_ns()
            self._turn(late)
            taken, self._windows = self._windows, []
        return taken

    def _turn(self, end: int) -> None:
        """Close the window at `end`; the caller holds the lock."""
        now = time.time_ns()
        if self._series:
            self._windows.append(Window(min(self._start, end - 1), end, self._series, self._folded))
            if len(self._windows) > _MOST_WINDOWS:
                self.lost += self._windows.pop(0).calls
                notes.once("threads", "nothing is reported: the server runs this process without threads")
        self._open(max(now, end) if now - end < _MINUTE else now)

    def _open(self, start: int) -> None:
        self._series: dict[Key, Series] = {}
        self._known: dict[Noted, Series] = {}
        self._folded = 0
        self._start = start
        self._boundary = (start // _MINUTE + 1) * _MINUTE
        self._turns = time.perf_counter() + (self._boundary - time.time_ns()) / 1e9

    def _find(self, noted: Noted) -> Series:
        """Return the series of a key, a new one where there is room, else the one it has to share."""
        method, route, status, user, account = noted
        method = method if method in METHODS else "_OTHER"
        key: Key = (method, route and route[:_LONGEST_ROUTE], code_of(status), user, account)
        series, room = self._series.get(key), self._most - len(self._series)
        if series is None and room <= 0:
            self._folded += 1
            key = (key[0], key[1], key[2], "", "") if room > -self._most else ("_OTHER", OTHER, key[2], "", "")
            return self._series.setdefault(key, Series())
        if series is None:
            series = self._series[key] = Series()
        if len(self._known) < self._most:
            self._known[noted] = series
        return series
