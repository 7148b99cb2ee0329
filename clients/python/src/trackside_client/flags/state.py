"""The ruleset a client evaluates by, and what is known of how fresh it is."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from trackside_client._transport import notes
from trackside_client.flags.known import Known
from trackside_client.flags.problems import RulesetError
from trackside_client.flags.ruleset import Ruleset, parse
from trackside_client.flags.shapes import Choose

Name = Literal["starting", "ready", "stale", "away", "refused"]
"""Not asked yet; what the server says; what it (or a file) said last; nothing, it is away; it does not take the key."""


class Change(NamedTuple):
    """What listeners are told: the state now, and the keys of flags that changed (empty: only the state did)."""

    state: Name
    flags: tuple[str, ...]
    message: str


Listener = Callable[[Change], None]


class State:
    """Swapped whole, so that a check which is under way ends by the ruleset that it began with."""

    def __init__(self) -> None:
        self.ruleset: Ruleset | None = None
        self.choosers: Mapping[str, Choose] = {}
        self.beside: Mapping[str, str | None] = {}
        self.known = Known()
        self.document: Mapping[str, Any] = {}
        self.etag = ""
        self.name: Name = "starting"
        self.heard = 0.0
        """When the server last confirmed the ruleset, on the monotonic clock; 0: never."""
        self.reset()
        self._listeners: list[Listener] = []

    def reset(self) -> None:
        """Forget who holds the lock: what a forked child does first."""
        self._lock = threading.Lock()
        self.tried = threading.Event()
        """Set once the first attempt to load is over, whatever came of it."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each change, from the client's own thread; return how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def take(self, body: bytes | Mapping[str, Any], etag: str, *, confirmed: bool, stale: bool = False) -> bool:
        """Evaluate by a new ruleset; False, with the reason in the log, where it makes no sense."""
        try:
            document = json.loads(body) if isinstance(body, bytes) else body
            fresh = parse(document, lenient=True, before=self.ruleset)
        except (RulesetError, ValueError, RecursionError) as error:
            notes.once("flags ruleset", "these flags cannot be read, the last ones stay: %s", str(error)[:500])
            return False
        for problem in fresh.problems:
            notes.once(f"flags problem {problem}", "a flag cannot be read: %s", problem)
        with self._lock:
            changed = _changed(self.document.get("flags"), document.get("flags"))
            self.ruleset, self.document, self.etag = fresh, document, etag
            self.choosers, self.beside = dict(fresh.choosers), fresh.beside
            self.known.forget()  # after what is evaluated by has changed: what is kept from now on is of the new one
        if confirmed:
            self.confirm(changed, stale=stale)
        return True

    def follow(self, change: Mapping[str, Any], etag: str) -> bool:
        """Change what an event tells has changed; False where that is not told of the ruleset that is held here."""
        flags, gone, version = change.get("flags"), change.get("gone"), change.get("version")
        if change.get("since") != bare(self.etag) or not isinstance(flags, dict) or not isinstance(gone, list):
            return False
        known = {key: flag for key, flag in self.document["flags"].items() if key not in gone}
        document = {**self.document, "version": version, "flags": known | flags}
        return self.take(document, f'"{etag}"', confirmed=True)

    def confirm(self, changed: tuple[str, ...] = (), *, stale: bool = False) -> None:
        """Note that the server stands by the ruleset; `stale` where it says itself that it may be old."""
        self.heard = time.monotonic()
        self._turn("stale" if stale else "ready", changed, "the server answers from its snapshot" if stale else "")

    def fail(self, message: str, *, refused: bool = False) -> None:
        """Note that the server could not be asked, or does not take the key."""
        known: Name = "stale" if self.ruleset is not None or self.heard else "away"
        self._turn("refused" if refused else known, (), message)

    def _turn(self, name: Name, changed: tuple[str, ...], message: str) -> None:
        """Take a state on; listeners are told of news, and each time of one in which they have nothing."""
        with self._lock:
            is_news = bool(changed) or name != self.name or name in {"away", "refused"}
            self.name = name
        if is_news:
            for listener in list(self._listeners):
                _tell(listener, Change(name, changed, message))


def bare(etag: str) -> str:
    """Return an ETag without what HTTP writes around it."""
    return etag.removeprefix("W/").strip('"')


def _tell(listener: Listener, change: Change) -> None:
    try:
        listener(change)
    except Exception:
        notes.once(f"flags listener {listener!r}", "a listener to changes of flags failed", error=True)


def _changed(before: Any, after: Any) -> tuple[str, ...]:
    old, new = before or {}, after or {}
    # most are the very same object, where an event told what has changed
    pairs = ((key, old.get(key), new.get(key)) for key in {*old, *new})
    return tuple(sorted(key for key, was, is_now in pairs if was is not is_now and was != is_now))
