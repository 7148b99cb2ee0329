"""Counting what this process evaluates: a number in mapped memory, taken to the database within a second.

The hot path takes a lock, looks into a dictionary and adds one; a killed process loses nothing of what was answered
(see `segment`). A thread seals the file and commits what is in it under the file's own name, so that a crash between
the commit and the end of the file counts nothing twice. With PostgreSQL away the files wait on the disk, also for the
next process; what other processes left behind when they died is committed too.
"""

import os
import threading
import time
import weakref
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

import msgspec
import structlog
from psycopg import Error as PsycopgError
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside.metrics import Gauge
from trackside.runtime import Runtime
from trackside_modules.flags.exposures import inbox, segment
from trackside_modules.flags.exposures.segment import Content, Segment

log = structlog.get_logger(__name__)

EVERY = 0.5
"""Seconds between two looks at what was counted."""
ORPHANS = 30.0
"""Seconds between two searches for what dead processes left."""
MOST_FILES = 2000
"""Files of 256 KiB that may wait on the disk."""
_HOUR = 3600
_WAITING = "select count(*) from flags_exposure_batch where body is not null and dead_at is null"


def shared(runtime: Runtime) -> "Counter":
    """Return the counter of this process, made when first asked for."""
    found = runtime.ports.get(Counter)
    if found is None:
        found = made = Counter(runtime)
        runtime.ports.provide(Counter, lambda: made)
        made.begin()
    return found


def gauges(runtime: Runtime, session: Session) -> list[Gauge]:
    """Return how many evaluations nobody could count, and how many batches wait for the fold."""
    found = runtime.ports.get(Counter)
    lost = found.uncounted if found else 0
    waiting = session.execute(text(_WAITING)).scalar_one()
    return [
        Gauge("flags_exposures_uncounted", "Evaluations that this process could not count: disk full", lost, lost > 0),
        Gauge("flags_exposure_batches_waiting", "Batches of exposures that wait to be counted", waiting),
    ]


class Shown:
    """A variant that somebody was given: counted each time, at a place that it remembers."""

    __slots__ = ("content", "place", "turn")

    def __init__(self, env_id: int, flag: str, variant: str | None, user: str | None, account: str | None) -> None:
        self.content: Content = (env_id, user, account, (flag, variant or ""))
        self.turn = 0
        """Of the counter: the file in which its place is."""
        self.place = 0


class Counter:
    """The evaluations of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.folder: Path = runtime.settings.data / "spool" / "exposures"
        self.uncounted = 0
        """Evaluations that nobody counts, since the disk does not take them."""
        self._lock = threading.Lock()
        self._places: dict[Hashable, int] = {}
        self._segment: Segment | None = None
        self._turn = 1
        """Goes on with each file, so that places in the one before are known for what they are."""
        self._day = 0
        self._sealed: list[Segment] = []
        self._full = False
        self._store = inbox.Store(runtime.settings.database_url)
        self._flushing = threading.Lock()
        self._looked = float("-inf")
        self._failing = self._unsafe = False
        self._closed = False
        self._wake = threading.Event()
        runtime.closers.append(self.close)

    def count(self, shown: Shown) -> None:
        """Count that somebody was given a variant of a flag once more."""
        with self._lock:
            if shown.turn != self._turn:
                place = self._places.get(shown.content) or self._place(shown.content, shown.content)
                if place is None:
                    return
                shown.turn, shown.place = self._turn, place
            self._segment.numbers[shown.place] += 1  # type: ignore[union-attr]

    def count_all(
        self,
        env_id: int,
        answers: tuple[bytes, ...],
        of: Mapping[bytes, tuple[str, str]],
        user: str | None,
        account: str | None,
    ) -> None:
        """Count that a user was given several flags at once; `of`: flag and variant of each answer that has one."""
        key = (env_id, answers, user, account)
        with self._lock:
            place = self._places.get(key)
            if place is None:
                shown = [text for each in answers for text in of.get(each, ())]
                place = self._place(key, (env_id, user, account, tuple(shown)))
                if place is None:
                    return
            self._segment.numbers[place] += 1  # type: ignore[union-attr]

    def begin(self) -> None:
        """Start the thread that takes what was counted to the database."""
        threading.Thread(target=_work, args=(weakref.ref(self), self._wake), name="exposures", daemon=True).start()

    def flush(self) -> None:
        """Commit what was counted so far; raises psycopg.Error where PostgreSQL is away: it stays on the disk."""
        with self._flushing:
            if self._sealed:
                self._drain()  # from before: what is being filled could not be sealed yet
            self._seal()
            self._drain()
            if time.monotonic() - self._looked > ORPHANS:
                self._adopt()
                self._looked = time.monotonic()

    def work(self) -> None:
        """Do once what the thread does each time it wakes; PostgreSQL away is left for the next time."""
        try:
            if self._failing:
                # a frozen database takes seconds to fail: what waits is safe before it is tried
                self._secure()
            self.flush()
            self._failing = False
        except (PsycopgError, OSError) as error:
            # said once, and not where the connection was taken away on purpose
            if not self._failing and not self._closed:
                log.warning("flags.exposures_wait", reason=type(error).__name__, files=len(self._sealed))
            if not self._failing:
                self._secure()
            self._failing = True

    def _secure(self) -> None:
        """See that what waits outlives a power cut: what PostgreSQL takes at once is safe there."""
        with self._flushing:
            with self._lock:
                waiting = [*self._sealed, *([self._segment] if self._segment else [])]
            try:
                for each in waiting:
                    if each.is_dirty:
                        each.secure()
                self._unsafe = False
            except OSError as error:
                if not self._unsafe:
                    log.error("flags.exposures_unsafe", reason=error.strerror, effect="a power cut would lose some")
                self._unsafe = True

    def close(self) -> None:
        """Commit what was counted where that goes at once, and end the thread; what is left waits on the disk."""
        self._closed = True
        self._wake.set()
        if self._segment is not None or self._sealed:
            self.work()
        self._store.close()

    def _place(self, key: Hashable, content: Content) -> int | None:
        """Return where to count something new; None where it cannot be counted."""
        try:
            if self._segment is None:
                self._open()
            place = self._segment.add(content, self._now())  # type: ignore[union-attr]
            if place is None:
                self._put_by()
                self._open()
                place = self._segment.add(content, self._now())  # type: ignore[union-attr]
        except UnicodeEncodeError:
            return None  # half a surrogate pair: no id of anybody's
        except OSError as error:
            self.uncounted += 1
            if not self._full:
                log.error("flags.exposures_lost", reason=error.strerror, effect="the disk takes no more counts")
            self._full = True
            return None
        if place is not None:
            self._places[key] = place
        return place

    def _now(self) -> int:
        return int(self._runtime.clock.now().timestamp() * 1000)

    def _open(self) -> None:
        if len(self._sealed) >= MOST_FILES:
            raise OSError(0, f"{MOST_FILES} files wait already")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._segment = Segment(self.folder)
        self._day = self._now() // 86_400_000
        self._full = False

    def _put_by(self) -> None:
        """Write no more into the file; what is counted from now on goes into another one."""
        if self._segment is not None:
            self._segment.seal()
            self._sealed.append(self._segment)
            self._segment = None
            self._turn += 1
            self._places = {}

    def _seal(self) -> None:
        """Put the file by for committing; with others waiting already it goes on being filled, for a day."""
        with self._lock:
            if self._segment is not None and (not self._sealed or self._day != self._now() // 86_400_000):
                self._put_by()

    def _drain(self) -> None:
        while self._sealed:
            self._commit(self._sealed[0].path)
            self._sealed.pop(0).drop()

    def _adopt(self) -> None:
        """Commit the files of processes that have died."""
        for path, file in segment.orphans(self.folder):
            try:
                if self._commit(path) or time.time() - os.fstat(file).st_mtime > _HOUR:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # its owner was just done with it
            finally:
                os.close(file)

    def _commit(self, path: Path) -> bool:
        """Commit what is in a file, once however often it is tried; return False where it is no such file."""
        try:
            found = segment.read(path)
        except (msgspec.MsgspecError, ValueError):
            log.error("flags.exposures_damaged", name=path.name)
            found = None
        if found is None:
            return False
        name, entries = found
        at = self._runtime.clock.now()
        parcels: Iterable[inbox.Parcel] = [inbox.Parcel(env_id, name, at, each) for env_id, each in entries.items()]
        self._store.put(parcels)
        return True


def _work(ref: "weakref.ref[Counter]", wake: threading.Event) -> None:
    """Take what was counted to the database for as long as somebody holds the counter."""
    while (counter := ref()) is not None and not counter._closed:
        counter.work()
        del counter  # while waiting nothing is held, so that a counter nobody uses goes away
        wake.wait(EVERY)
