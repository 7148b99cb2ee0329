"""The flags of every environment in this process's memory: what a flag check looks at, and nothing else.

Two threads keep it fresh. One hears what is published to `{e<env_id>}:flags`; the other looks at the versions in
PostgreSQL, at once when the first one heard something and every `POLL` seconds in any case, and loads what has changed.
Each may find its server away: flags go on answering with what is known, marked as stale once PostgreSQL has been silent
for `STALE` seconds. What was loaded is kept in a snapshot, and read from there by a process that starts meanwhile.
"""

import threading
import time
import weakref
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from psycopg import Error as PsycopgError
from redis import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trackside.clock import Clock, SystemClock
from trackside.errors import Unavailable
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.snapshot import Snapshots
from trackside.workspace import Environment
from trackside_client.flags import RulesetError
from trackside_modules.flags import ruleset
from trackside_modules.flags.events import RulesetChanged, channel
from trackside_modules.flags.models import FlagsEnvironment
from trackside_modules.flags.serving.served import Served, Source, compiled, pack, unpack

log = structlog.get_logger(__name__)

POLL = 2.0
"""Seconds between two looks at the versions, also where nothing was heard."""
STALE = 10.0
"""Seconds of PostgreSQL's silence after which answers are marked."""
CATCH_UP = 0.25
"""Seconds that a client waits which was told of a version that this process has not loaded yet."""
WAITERS = 2
"""Clients that may wait so at once: threads are few."""
_PREFIX = "flags-"
_AWAY = (SQLAlchemyError, PsycopgError, OSError)
_WRONG = (RulesetError, msgspec.MsgspecError, ValueError, TypeError, KeyError)


def shared(runtime: Runtime) -> "Memory":
    """Return the memory of this process, loaded when first asked for."""
    found = runtime.ports.get(Memory)
    if found is None:
        found = made = Memory(runtime)
        runtime.ports.provide(Memory, lambda: made)
        made.begin()
    return found


def stands_alone(settings: Settings) -> bool:
    """Whether there is a snapshot to answer from with PostgreSQL away."""
    return bool(_kept(Snapshots(settings), SystemClock()))


def readiness(runtime: Runtime) -> dict[str, str]:
    """Return how this process answers flags: `ok`, `stale` or `missing`; nothing where it answers none."""
    found = runtime.ports.get(Memory)
    return {} if found is None else {"flags": found.state}


class Memory:
    """The flags of all environments, for one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._snapshots = Snapshots(runtime.settings)
        self._served: dict[int, Served] = {}
        self._heard = time.monotonic()
        """When PostgreSQL last answered."""
        self._refreshing = threading.Lock()
        self._swapping = threading.Lock()
        self._loaded = threading.Condition()
        self._waiters = threading.BoundedSemaphore(WAITERS)
        self._wake = threading.Event()
        self._closed = False
        self._away = False
        runtime.events.subscribe(RulesetChanged, self._on_change)
        runtime.closers.append(self.close)

    @property
    def state(self) -> str:
        """`ok`, `stale`, or `missing` where there are no flags to answer from."""
        if not self._served:
            return "missing"
        return "stale" if any(each.stale for each in self._served.values()) else "ok"

    def served(self, env_id: int) -> Served:
        """Return the flags of an environment; raises Unavailable where it was never loaded."""
        found = self._served.get(env_id)
        if found is None:
            self._wake.set()
            raise Unavailable("The flags of this environment are not loaded yet: ask again in a moment.", 1)
        return found

    def environments(self) -> dict[int, Served]:
        """Return the flags of all environments by their number."""
        return self._served

    def caught_up(self, env_id: int, etag: str) -> Served:
        """Return the flags of an environment, waiting a moment where they are not at `etag` yet."""
        found = self.served(env_id)
        if found.source.etag == etag or not self._waiters.acquire(blocking=False):
            return found
        try:
            self._wake.set()
            with self._loaded:
                self._loaded.wait_for(lambda: self.served(env_id).source.etag == etag, CATCH_UP)
        finally:
            self._waiters.release()
        return self.served(env_id)

    def begin(self) -> None:
        """Load all flags, from the snapshot where PostgreSQL is away, and keep them fresh from here on."""
        try:
            self.refresh()
        except _AWAY as error:
            kept = _kept(self._snapshots, self._runtime.clock)
            self._served = {it.source.env_id: it.marked(stale=True) for it in kept}
            self._away = True
            self._heard -= STALE
            log.warning("flags.database_away", reason=type(error).__name__, environments=len(self._served))
        for name, work in (("flags-look", _look), ("flags-listen", _listen)):
            threading.Thread(target=work, args=(weakref.ref(self), self._wake), name=name, daemon=True).start()

    def refresh(self) -> None:
        """Load what has changed; raises the driver's error where PostgreSQL is away."""
        with self._refreshing:
            with self._runtime.database.session() as session:
                ruleset.settle(session)
                known = self._served
                fresh = [
                    _source(session, env_id)
                    for env_id, version, etag in _versions(session)
                    if version is None or env_id not in known or _differs(known[env_id].source, version, etag)
                ]
            self._heard = time.monotonic()
            self._take(fresh)

    def mark(self) -> None:
        """Mark the flags as stale, or not any more."""
        stale = time.monotonic() - self._heard > STALE
        if all(each.stale == stale for each in self._served.values()):
            return
        with self._swapping:
            self._served = {env_id: each.marked(stale=stale) for env_id, each in self._served.items()}
        log.warning("flags.stale" if stale else "flags.fresh")

    def close(self) -> None:
        """End the threads when they next wake."""
        self._closed = True
        self._wake.set()

    def _take(self, fresh: list[Source]) -> None:
        made: dict[int, Served] = {}
        for source in fresh:
            try:
                made[source.env_id] = compiled(source, self._runtime.clock, self._served.get(source.env_id))
            except _WRONG as error:
                # what is known goes on answering; an edit that makes no sense is refused before it comes here
                log.error("flags.unusable", env_id=source.env_id, version=source.version, reason=str(error)[:200])
        with self._swapping:
            known = {env_id: each.marked(stale=False) if each.stale else each for env_id, each in self._served.items()}
            self._served = known | made
        with self._loaded:
            self._loaded.notify_all()
        for source in fresh:
            self._snapshots.write(f"{_PREFIX}{source.env_id}", pack(source))

    def _on_change(self, _event: RulesetChanged) -> None:
        # what was changed in this process counts in it at once
        with suppress(*_AWAY):
            self.refresh()

    def look(self) -> None:
        """Do once what the thread does each time it wakes; PostgreSQL away is left for the next time."""
        try:
            self.refresh()
            self._away = False
        except _AWAY as error:
            # said once, and not where the connection was taken away on purpose
            if not self._closed and not self._away:
                log.warning("flags.database_away", reason=type(error).__name__)
            self._away = True


def _versions(session: Session) -> list[tuple[int, int | None, str | None]]:
    it = FlagsEnvironment
    query = select(Environment.id, it.version, it.etag).outerjoin(it, it.env_id == Environment.id)
    return [(env_id, version, etag) for env_id, version, etag in session.execute(query.order_by(Environment.id))]


def _differs(known: Source, version: int, etag: str | None) -> bool:
    """Whether the database has another ruleset; a restored backup may have another one of the same version."""
    return known.version != version or bool(etag and etag != known.etag)


def _source(session: Session, env_id: int) -> Source:
    built = ruleset.build(session, env_id)
    row = session.get_one(FlagsEnvironment, env_id)
    return Source(env_id, built.version, built.etag, row.updated_at, built.body)


def _kept(snapshots: Snapshots, clock: Clock) -> list[Served]:
    """Return what the snapshots hold; one that is damaged is left out, which the log says."""
    found: list[Served] = []
    for name in snapshots.names(_PREFIX):
        content = snapshots.read(name)
        if content is not None:
            try:
                found.append(compiled(unpack(content), clock))
            except _WRONG as error:
                log.warning("snapshot.damaged", name=name, reason=type(error).__name__, effect="it is ignored")
    return found


def _look(ref: "weakref.ref[Memory]", wake: threading.Event) -> None:
    """Keep the memory fresh for as long as somebody holds it."""
    while (memory := ref()) is not None and not memory._closed:
        memory.look()
        del memory  # while waiting nothing is held, so that a memory nobody uses goes away
        wake.wait(POLL)
        wake.clear()


def _listen(ref: "weakref.ref[Memory]", wake: threading.Event) -> None:
    """Wake the other thread whenever something is published; mark what is stale."""
    news: Any = None
    while (memory := ref()) is not None and not memory._closed:
        memory.mark()
        redis: Any = memory._runtime.redis
        del memory
        try:
            if news is None:
                news = redis.pubsub.pubsub(ignore_subscribe_messages=True)
                news.psubscribe(_every())
                wake.set()  # something may have been published meanwhile
            if news.get_message(timeout=1.0) is not None:
                wake.set()
        except (RedisError, OSError, ValueError):
            news = None
            time.sleep(1.0)


def _every() -> str:
    """Return the pattern of all environments' channels."""
    return channel(0).replace("0", "*")
