"""Evaluations counted by variant and user: what each check pays for, so kept short.

A check adds with one `next()` of an `itertools.count`, which no other thread can come between, and takes no lock. What
was counted is taken by putting a new table in the place of the old one; the old one is read at once and once more at
the next time, so that a check which had it in hand at that very moment is not lost.
"""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trackside_client.flags.hashing import unit_text
from trackside_client.flags.known import Known
from trackside_client.flags.result import Context, Result

MOST = 50_000
"""Users and variants between two flushes: some 300 bytes each. Beyond, evaluations count without their user."""
_EARLY = MOST // 2


class Counter(itertools.count):  # type: ignore[type-arg]
    """How often one user got one variant since the table began: `next` adds one and tells how many were before."""

    __slots__ = ("account", "at", "told", "user", "value")

    value: Any
    """The variant's."""
    at: int
    user: str | None
    account: str | None
    told: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """That a user got a variant so many times, first at `at` (milliseconds since 1970)."""

    flag: str
    variant: str
    user: str | None
    account: str | None
    at: int
    count: int


Counts = dict[Result, dict[Any, Counter]]
"""Result -> user (None: nobody said) -> counter."""


class Tally:
    """The counts of one process."""

    def __init__(self, known: Known, on_first: Callable[[], None], on_full: Callable[[], None]) -> None:
        """Count; `on_first` is called when a table gets its first counter, `on_full` when it is half full.

        `known` holds counters too, and forgets them when they are taken.
        """
        self._known, self._on_first, self._on_full = known, on_first, on_full
        self.reset()

    def reset(self) -> None:
        """Forget everything: what a forked child does first, since the parent tells what it has counted."""
        self.counts: Counts = {}
        self._resting: Counts = {}
        self._size = 0
        self._lock = threading.Lock()
        self._known.reset()

    def counted(self, result: Result, context: Context) -> Counter:
        """Count an evaluation; return its counter, which the next one may have at hand."""
        mine, user = self.counts.get(result), context.get("targetingKey")
        if mine is not None and (type(user) is str or (user is None and "account" not in context)):
            counter = mine.get(user)
            if counter is not None:
                next(counter)
                return counter
        return self.add(result, context)

    def add(self, result: Result, context: Context) -> Counter:
        """Count an evaluation the careful way: also the first one of a user, and where there is no room."""
        user, account = unit_text(context.get("targetingKey")), unit_text(context.get("account"))
        who = user if user is not None or account is None else (account,)
        is_first = is_full = False
        with self._lock:
            is_first = not self.counts
            mine = self.counts.setdefault(result, {})
            if who not in mine:
                if self._size >= MOST:
                    user = account = who = None
                mine.setdefault(who, _counter(result.value, user, account))
                self._size += 1
                is_full = self._size == _EARLY
            counter = mine[who]
            next(counter)
        if is_first:
            self._on_first()
        if is_full:
            self._on_full()
        return counter

    def take(self) -> list[Exposure]:
        """Return what was counted since the last time."""
        with self._lock:
            taken, self.counts, self._size = self.counts, {}, 0
        self._known.forget()
        found = [*_read(self._resting), *_read(taken)]
        self._resting = taken
        return found


def _counter(value: Any, user: str | None, account: str | None) -> Counter:
    made: Counter = Counter()  # pyright: ignore[reportAssignmentType] - `count` says it makes a plain one
    made.value, made.user, made.account, made.at, made.told = value, user, account, int(time.time() * 1000), 0
    return made


def _read(counts: Counts) -> list[Exposure]:
    found = []
    for result, mine in list(counts.items()):
        for counter in list(mine.values()):
            count = next(counter)
            fresh = count - counter.told
            counter.told = count + 1  # the one just taken was ours
            if fresh > 0 and result.variant is not None:
                found.append(Exposure(result.key, result.variant, counter.user, counter.account, counter.at, fresh))
    return found
