"""Who called in each of the last minutes, and who went wrong, held by the process from one page to the next.

The hour going on is not remembered (see `memory`): a page adds up some ten thousand rows of users, and of a busy
environment those of a single hour are most of its time. Minutes that are over rarely change, and never shrink: all that
is ever done to one is adding calls. So what was added up of a minute holds for as long as its calls do, and those are
known from far fewer rows, written in the same transaction: endpoints have rows of minutes too. With them is told who
called, so that a minute is not taken for another where counts went and came again (the demo's do).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ARRAY, DateTime, Engine, any_, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside_modules.usage.models import UsageEndpointMinute, UsagePiece
from trackside_modules.usage.storage.tiers import Narrow, Part

_STORED = timedelta(minutes=150)
"""How far back the job makes pieces: the hour going on, and where ranges of an hour begin."""
_FEW = 3
"""So many minutes change from one page to the next: more are looked up first."""
LONGEST = timedelta(hours=3)
"""What is longer is not held: minutes of many hours are read only while the roll-up is behind."""
_MOST = 900
"""Pieces that a process holds of a database: some 20 kB each where a thousand users call in every minute."""
_MINUTE = timedelta(minutes=1)
_TIMES = ARRAY(DateTime(timezone=True))

Version = tuple[int, int]


class Held:
    """What a process holds of a database: each minute as bytes, with the version that it was read at."""

    def __init__(self) -> None:
        self._minutes: OrderedDict[tuple[str, int, datetime], tuple[Version, bytes]] = OrderedDict()
        self._lock = Lock()

    def take(self, what: str, env_id: int, versions: dict[datetime, Version]) -> dict[datetime, bytes]:
        """Return the minutes that are held and have not changed since."""
        found: dict[datetime, bytes] = {}
        with self._lock:
            for at, version in versions.items():
                kept = self._minutes.get((what, env_id, at))
                if kept is not None and kept[0] == version:
                    self._minutes.move_to_end((what, env_id, at))
                    found[at] = kept[1]
        return found

    def keep(self, what: str, env_id: int, versions: dict[datetime, Version], made: dict[datetime, bytes]) -> None:
        """Hold minutes, and let go of those that nobody asked for longest."""
        with self._lock:
            for at, packed in made.items():
                self._minutes[what, env_id, at] = (versions[at], packed)
            while len(self._minutes) > _MOST:
                self._minutes.popitem(last=False)


_HELD: WeakKeyDictionary[Engine, Held] = WeakKeyDictionary()


def of(session: Session) -> Held:
    """Return what this process holds of the session's database."""
    return _HELD.setdefault(session.connection().engine, Held())


def versions(session: Session, env_id: int, part: Part) -> dict[datetime, Version]:
    """Return the calls of each minute that has some, and a hash of what and who they were.

    To be asked before the minutes are read: what is added between the two is then seen as a change the next time.
    """
    it = UsageEndpointMinute
    what = func.hashint8extended(it.calls, it.endpoint_id * 1000 + it.status)
    hashed = func.bit_xor(what.op("#")(func.hashbyteaextended(it.users, it.endpoint_id)))
    query = select(it.at, func.sum(it.calls), hashed).group_by(it.at)
    query = query.where(it.env_id == env_id, it.at >= part.start, it.at < part.end)
    return {at: (int(calls), hashed) for at, calls, hashed in session.execute(query)}


Make = Callable[[Session, int, Part, Narrow], dict[int, bytes]]
"""Makes pieces by the start of their minute (seconds), of an environment's span: of some of its minutes."""


def read(session: Session, env_id: int, part: Part, what: str, make: Make) -> Iterator[tuple[int, bytes]]:
    """Yield the start (seconds) and the piece of each minute of a part that has one: held, or made and held."""
    known, held = versions(session, env_id, part), of(session)
    found = held.take(what, env_id, known)
    first = part.start + timedelta(seconds=-part.start.timestamp() % 60)
    every = [first + place * _MINUTE for place in range(-((first - part.end) // _MINUTE))]
    fresh: dict[datetime, bytes] = {}
    if len(known) - len(found) > _FEW:
        fresh = _stored(session, env_id, what, {at: version for at, version in known.items() if at not in found})
    if missing := [at for at in every if at not in found and at not in fresh]:
        made = make(session, env_id, Part("minute", missing[0], missing[-1] + _MINUTE), _among(missing))
        fresh |= {at: made.get(int(at.timestamp()), b"") for at in missing}
    held.keep(what, env_id, known, {at: piece for at, piece in fresh.items() if at in known})
    for at, piece in (found | fresh).items():
        if piece:
            yield int(at.timestamp()), piece


def _stored(session: Session, env_id: int, what: str, known: dict[datetime, Version]) -> dict[datetime, bytes]:
    """Return the pieces of these minutes that the job made, and that have not changed since."""
    it = UsagePiece
    query = select(it.at, it.calls, it.hashed, it.piece).where(it.env_id == env_id, it.what == what)
    rows = session.execute(query.where(it.at == any_(literal(list(known), _TIMES))))
    return {at: piece for at, calls, hashed, piece in rows if known[at] == (calls, hashed)}


def fill(session: Session, env_id: int, what: str, make: Make, now: datetime) -> None:
    """Make the pieces of the last hours that are missing or no longer true, for processes that have just begun."""
    end = now.replace(second=0, microsecond=0)
    part = Part("minute", end - _STORED, end)
    known = versions(session, env_id, part)
    there = _stored(session, env_id, what, known)
    rows: list[dict[str, Any]] = []
    if missing := [at for at in sorted(known) if at not in there]:
        made = make(session, env_id, Part("minute", missing[0], missing[-1] + _MINUTE), _among(missing))
        for at in missing:
            version = dict(zip(("calls", "hashed"), known[at], strict=True))
            piece = made.get(int(at.timestamp()), b"")
            rows.append({"env_id": env_id, "what": what, "at": at, "piece": piece} | version)
    it = UsagePiece
    gone = or_(it.at < part.start, it.at == any_(literal(missing, _TIMES)))
    session.execute(delete(it).where(it.env_id == env_id, it.what == what, gone))
    if rows:
        session.execute(insert(it).on_conflict_do_nothing(), rows)


def _among(times: list[datetime]) -> Narrow:
    """Return what to keep of the minutes' tables: these minutes."""

    def narrow(table: Any) -> Any:
        return table.minute == any_(literal(times, _TIMES))

    return narrow
