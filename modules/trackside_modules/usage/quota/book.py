"""What a check needs to know, in memory: every limit, and on which plan the callers of late are.

One thread of the process keeps it fresh. Limits are loaded when their version (one row, looked at every second) has
changed. Ids are looked up when first asked about: the check waits for the answer, at most `PATIENCE`, and all that
wait go into one query. Known ones are looked up again while they are used, so that a new plan counts within seconds.
However many ids are invented, there are at most `QUERIES` queries a second and `MOST_KNOWN` entries.

PostgreSQL away: what is in memory is used, however old.
"""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import Literal

import structlog
from psycopg import Error as PsycopgError
from psycopg_pool import PoolTimeout
from sqlalchemy.exc import SQLAlchemyError

from trackside.errors import Unavailable
from trackside.runtime import Runtime
from trackside_modules.usage.quota import lookup
from trackside_modules.usage.quota.events import QuotasChanged
from trackside_modules.usage.quota.rules import UNKNOWN, Policy, Who

log = structlog.get_logger(__name__)

POLL = 1.0
"""Seconds between two looks at the limits' version."""
PATIENCE = 0.05
"""Seconds that a check waits for an id that nobody asked about before; then it is treated as unknown."""
FIRST = 0.5
"""Seconds that a check waits for the limits when the process has just begun."""
FRESH = 10.0
"""Seconds for which what is known of an id is used without another look."""
STALE = 60.0
"""Seconds after which it is not used before the look, unless PostgreSQL is away."""
STUCK = 0.5
"""Seconds after which a query is so late that no other check waits for it."""
QUERIES = 100
"""Queries a second for ids."""
AT_ONCE = 1000
"""Ids in one query, and ids that wait for one."""
MOST_KNOWN, MOST_UNKNOWN = 50_000, 10_000

Kind = Literal["user", "account"]
Key = tuple[Kind, str]
_Away = (SQLAlchemyError, PsycopgError, PoolTimeout, OSError)


class Book:
    """The limits and the callers, for one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._seconds = runtime.clock.monotonic
        self._policies: dict[tuple[int, str], Policy] | None = None
        self._version = -1
        self._loaded = threading.Event()
        self._loading = threading.Lock()
        self._known: dict[Key, tuple[Who, float]] = {}
        self._unknown: dict[Key, tuple[Who, float]] = {}
        self._asked: dict[Key, Future[Who]] = {}
        self._queries = (0, 0)
        self._begun = float("inf")
        """When the query going on was begun."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._away = False
        self.chores: list[Callable[[], None]] = []
        """What the thread does besides, each time it wakes."""
        runtime.events.subscribe(QuotasChanged, self._on_change)
        runtime.closers.append(self.close)

    def policy(self, env_id: int, name: str) -> Policy | None:
        """Return the limits called `name`, None where there are none.

        Raises Unavailable where they were never loaded, since PostgreSQL is away.
        """
        self._start()
        if self._policies is None:
            self._loaded.wait(FIRST)
        if self._policies is None:
            raise Unavailable("The rate limits cannot be read: the database is away.")
        return self._policies.get((env_id, name))

    def who(self, kind: Kind, external_id: str) -> Who:
        """Return whom an id stands for; `UNKNOWN` for one that nobody has, or that cannot be looked up in time."""
        self._start()
        key: Key = (kind, external_id)
        found = self._known.get(key) or self._unknown.get(key)
        age = self._seconds() - found[1] if found else STALE
        if found and age < FRESH:
            return found[0]
        answer = self._ask(key)
        if found and age < STALE:
            return found[0]
        if answer is not None:
            try:
                return answer.result(PATIENCE)
            except (Late, *_Away):
                pass
        return found[0] if found else UNKNOWN

    def refresh(self) -> None:
        """Load the limits where they have changed; raises the driver's error where PostgreSQL is away."""
        with self._loading:
            found = lookup.policies(self._runtime, self._version)
            if found is not None:
                self._version, self._policies = found
                self._loaded.set()

    def wake(self) -> None:
        """Let the thread do its chores now."""
        self._wake.set()

    def close(self) -> None:
        """End the thread when it next wakes."""
        self._closed = True
        self._wake.set()

    def _on_change(self, _event: QuotasChanged) -> None:
        # what was changed in this process counts in it at once
        try:
            self.refresh()
        except _Away:
            log.warning("usage.quota_refresh_failed")

    def _ask(self, key: Key) -> Future[Who] | None:
        """Put an id among those to look up; None where nobody should wait for it."""
        second = int(self._seconds())
        with self._lock:
            waiting = self._asked.get(key)
            if waiting is None:
                if len(self._asked) >= AT_ONCE:
                    return None
                waiting = self._asked[key] = Future()
            spent = self._queries[1] if self._queries[0] == second else 0
        self._wake.set()
        # nobody waits for a database that is away or stuck: the lane's threads are needed
        stuck = self._away or self._seconds() - self._begun > STUCK
        return waiting if spent < QUERIES and not stuck else None

    def _start(self) -> None:
        """Start the thread, not before there is work, and so after every fork."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if (self._thread is None or not self._thread.is_alive()) and not self._closed:
                    self._thread = threading.Thread(
                        target=_keep, args=(weakref.ref(self), self._wake), name="quota", daemon=True
                    )
                    self._thread.start()

    def _look_up(self) -> None:
        """Answer all that wait, by one query for each kind."""
        second = int(self._seconds())
        with self._lock:
            spent = self._queries[1] if self._queries[0] == second else 0
            if not self._asked or spent >= QUERIES:
                return
            asked, self._asked = self._asked, {}
            self._queries = (second, spent + 1)
        self._begun = self._seconds()
        try:
            found = lookup.who(self._runtime, asked)
        except _Away as error:
            for waiting in asked.values():
                waiting.set_exception(error)
            raise
        finally:
            self._begun = float("inf")
        at = self._seconds()
        for key, waiting in asked.items():
            who = found.get(key, UNKNOWN)
            self._keep_in_mind(key, who, at)
            waiting.set_result(who)

    def _keep_in_mind(self, key: Key, who: Who, at: float) -> None:
        here, there = (self._known, self._unknown) if who.known else (self._unknown, self._known)
        there.pop(key, None)
        here.pop(key, None)
        here[key] = (who, at)
        if len(here) > (MOST_KNOWN if who.known else MOST_UNKNOWN):
            # the one looked up longest ago: those in use are looked up again all the time
            del here[next(iter(here))]

    def work(self) -> None:
        """Do once what the thread does each time it wakes; PostgreSQL away is left for the next time."""
        try:
            self._look_up()
            self.refresh()
            for chore in self.chores:
                chore()
            self._away = False
        except _Away as error:
            # said once, and not where the connection was taken away on purpose
            if not self._closed and not self._away:
                log.warning("usage.quota_book_stale", error=type(error).__name__)
            self._away = True


def _keep(ref: "weakref.ref[Book]", wake: threading.Event) -> None:
    """Keep the book fresh for as long as somebody holds it."""
    while (book := ref()) is not None and not book._closed:
        book.work()
        pause = 0.01 if book._asked else 0.0
        del book  # while waiting nothing is held, so that a book nobody uses goes away
        if pause:
            time.sleep(pause)  # the second's queries are spent
        else:
            wake.wait(POLL)
            wake.clear()
