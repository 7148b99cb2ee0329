"""The native API: `Flags("https://trackside.example.com", KEY).boolean("new-checkout", False, user="u_42")`.

Checks are answered in the process, from memory: no check waits for a network, none raises, and where there is no answer
the caller's own default is one.
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

from trackside_client._transport import notes
from trackside_client.flags.checks import Checks, UserFlags
from trackside_client.flags.details import PROVIDER_NOT_READY
from trackside_client.flags.exposures import Exposures
from trackside_client.flags.following import Follower
from trackside_client.flags.keeping import load
from trackside_client.flags.remote import Remote
from trackside_client.flags.result import INVALID_CONTEXT, Context, Result, failure
from trackside_client.flags.settings import Mode, read
from trackside_client.flags.state import Listener, Name, State
from trackside_client.flags.tally import Tally

__all__ = ["Flags", "Status", "UserFlags"]

_living: "WeakSet[Flags]" = WeakSet()


@dataclass(frozen=True, slots=True)
class Status:
    """How fresh the answers are: `state` is as in `trackside_client.flags.state.Name`."""

    state: Name
    mode: Mode
    environment: str
    version: int
    """Of the ruleset; 0 where none is loaded, and in remote mode."""
    is_streaming: bool
    age_seconds: float | None
    """Since the server last confirmed what is in force; None where it never did."""


class Flags(Checks):
    """The flags of one environment.

    With a `server` key the ruleset is loaded, followed and evaluated here (mode `local`); with a `client` key, which
    may not see rules, the server is asked each time (`remote`); without a server the bootstrap answers (`offline`).
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        mode: Mode | None = None,
        bootstrap: str | Path | None = None,
        folder: str | Path | None = None,
        wait: float = 2.0,
        poll_seconds: float = 15.0,
        flush_seconds: float = 5.0,
        exposures: bool = True,
        stream_url: str | None = None,
    ) -> None:
        """Load the flags: at most `wait` seconds, then defaults answer until they are there.

        Args:
            url: The server's address; else TRACKSIDE_URL.
            key: Of kind `server` or `client`; else TRACKSIDE_FLAGS_KEY or TRACKSIDE_API_KEY.
            mode: `local`, `remote` or `offline`; by the key where it is not given.
            bootstrap: A ruleset to begin with, as JSON; else TRACKSIDE_FLAGS_BOOTSTRAP.
            folder: Keeps the last ruleset and unsent exposures; else TRACKSIDE_FLAGS_FOLDER.
            wait: Seconds that this waits for the first answer of the server; 0 for not at all.
            poll_seconds: Between two looks while the stream cannot be followed.
            flush_seconds: Between two reports of exposures.
            exposures: Whether to tell the server who was given which variant.
            stream_url: Of the stream process; "off" to poll only; else TRACKSIDE_STREAM_URL, or the port after `url`'s.

        """
        self._settings = settings = read(
            url,
            key,
            mode=mode,
            stream_url=stream_url,
            bootstrap=bootstrap,
            folder=folder,
            poll_seconds=poll_seconds,
            flush_seconds=flush_seconds,
            exposures=exposures,
        )
        self._state = State()
        self._answers = self._state.known.by_flag
        self._follower = Follower(settings, self._state) if settings.mode == "local" else None
        self._remote = Remote(settings, self._state) if settings.mode == "remote" else None
        known, tells = self._state.known, settings.exposures and settings.mode == "local"
        self._exposures = Exposures(settings, known) if tells else None
        self._tally = self._exposures.tally if self._exposures else Tally(known, _nothing, self._forget)
        self._starting, self._is_running, self._is_closed = threading.Lock(), False, False
        self._load_kept()
        _living.add(self)
        self._start()
        if wait > 0 and self._follower is not None:
            self._state.tried.wait(wait)

    @property
    def status(self) -> Status:
        """How fresh the answers are."""
        state, ruleset = self._state, self._state.ruleset
        return Status(
            state.name if self._settings.mode != "offline" or ruleset is None else "ready",
            self._settings.mode,
            ruleset.environment if ruleset else "",
            ruleset.version if ruleset else 0,
            bool(self._follower and self._follower.is_streaming),
            time.monotonic() - state.heard if state.heard else None,
        )

    def keys(self) -> list[str]:
        """Return the keys of all flags that are loaded."""
        return list(self._state.ruleset.keys()) if self._state.ruleset else []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each `Change`, from the client's own thread; return a function that ends it."""
        return self._state.listen(listener)

    def flush(self, timeout: float = 10.0) -> None:
        """Tell the server at once what was evaluated: for scripts, and functions that are frozen between calls."""
        try:
            if self._exposures is not None:
                self._exposures.flush(timeout)
        except Exception:
            notes.once("exposures", "exposures could not be told", error=True)

    def close(self) -> None:
        """Tell what was evaluated and stop following; checks go on answering by what is known."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._follower is not None:
                self._follower.stop()
            if self._exposures is not None:
                self._exposures.close()
        except Exception:
            notes.once("flags close", "the last exposures could not be told", error=True)

    def __enter__(self) -> "Flags":
        """Close at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _evaluated(self, key: str, context: Context) -> Result:
        if not isinstance(context, Mapping):
            return failure(key, INVALID_CONTEXT, "the context must be an object")
        if not self._is_running:  # a forked child
            self._start()
        if self._remote is not None:
            return self._remote.evaluate(key, context)
        ruleset = self._state.ruleset
        if ruleset is None:
            return failure(key, PROVIDER_NOT_READY, "no flags are loaded yet")
        return ruleset.evaluate(key, context)

    def _forget(self) -> None:
        """Make room where nobody is told what was counted."""
        self._tally.reset()

    def _runs(self) -> bool:
        """Whether this process has begun: a forked child does so at its first check."""
        return self._is_running

    def _counts(self) -> bool:
        """Whether what is evaluated is counted here: the server counts what it is asked."""
        return self._remote is None

    def _load_kept(self) -> None:
        """Begin by the cache or the bootstrap, whichever has the later version."""
        cache = self._follower.cache if self._follower else None
        kept = [load(cache, self._follower.owner)] if cache and self._follower else []
        kept.append(load(self._settings.bootstrap) if self._settings.bootstrap else None)
        found = [each for each in kept if each is not None]
        for each in sorted(found, key=lambda it: _version(it.document)):
            self._state.take(each.document, each.etag, confirmed=False)

    def _start(self) -> None:
        with self._starting:
            if self._is_running or self._is_closed:
                return
            self._is_running = True
            if self._exposures is not None:
                _close_with_multiprocessing(self)
            if self._follower is not None:
                try:
                    self._follower.start()
                except RuntimeError:
                    notes.once("flags threads", "flags are not refreshed: no thread can be started", error=True)

    def _forked(self) -> None:
        """Begin anew in a child, at its first check: threads stay with the parent."""
        self._starting, self._is_running = threading.Lock(), False
        self._state.reset()
        for part in (self._follower, self._remote, self._exposures or self._tally):
            if part is not None:
                part.reset()


def _nothing() -> None:
    """Do nothing: exposures that are not told need no thread."""


def _version(document: Mapping[str, Any]) -> int:
    found = document.get("version")
    return found if isinstance(found, int) else 0


def _close_with_multiprocessing(flags: Flags) -> None:
    """Let a child of `multiprocessing`, which runs no exit handlers, tell its last exposures too."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(flags, Flags.close, args=(flags,), exitpriority=10)


def _forked_all() -> None:
    for each in list(_living):
        each._forked()


def _close_all() -> None:
    for each in list(_living):
        each.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked_all)
