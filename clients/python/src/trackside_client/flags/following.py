"""The thread that keeps a ruleset fresh: by the server's stream of events, and by polling where that does not work."""

import json
import os
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

from trackside_client._transport import notes
from trackside_client._transport.sender import Backoff
from trackside_client.flags.fetching import STREAM, Fetched, Source, Stream
from trackside_client.flags.keeping import save
from trackside_client.flags.settings import FlagSettings, stream_beside
from trackside_client.flags.state import State, bare

TIMEOUT = 10.0
_LOOK_EVERY = 300.0
"""Seconds between two looks for a new ruleset while the stream is open and says nothing."""
_WAITS = (0.01, 0.02, 0.03, 0.05, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between tries where the stream is ahead of the process that hands out rulesets."""
_BEHIND = 10.0
"""Seconds for which a process that hands out rulesets may lag behind what an event has brought."""
_REFUSED = {401, 403}
_UNSUPPORTED = {404, 405, 406, 410}


class Follower:
    """Asks at start, then follows; begins anew in each process."""

    def __init__(self, settings: FlagSettings, state: State) -> None:
        self._settings, self._state = settings, state
        self._source = Source(settings.url, settings.key)
        self._is_plain = settings.url.startswith("http://")
        self._owner = f"{settings.url}\n{settings.key}"
        self.cache = settings.folder / "ruleset.json" if settings.folder else None
        self.reset()

    @property
    def owner(self) -> str:
        """Whose rulesets these are: the address and the key."""
        return self._owner

    def reset(self) -> None:
        """Forget the thread: what a forked child does first."""
        self._pid = os.getpid()
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self._polls, self._streams = Backoff(), Backoff()
        self._named = ""
        self._brought = float("-inf")
        """When an event last brought a change itself."""
        self.is_streaming = False

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="trackside-flags", daemon=True).start()

    def stop(self) -> None:
        """End the thread; it may be waiting for an event."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    @property
    def _is_over(self) -> bool:
        return self._stopping.is_set() or os.getpid() != self._pid

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._once()
            except Exception:
                notes.once("flags following", "flags could not be refreshed", error=True)
                self._polls.put_off()
            self._state.tried.set()
            self._stopping.wait(self._pause())

    def _once(self) -> None:
        if self._polls.is_over:
            self.refresh()
        self._state.tried.set()
        if self._settings.stream_url != "" and self._streams.is_over and not self._is_over:
            self._follow()

    def _pause(self) -> float:
        """Return how long to wait: for the next poll, or for what is put off, whichever is first."""
        poll = self._settings.poll_seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        if not self._polls.is_over:
            return min(self._polls.remaining, 60.0)
        if self._settings.stream_url != "":
            return max(0.01, min(poll, self._streams.remaining))
        return poll

    def refresh(self) -> bool:
        """Ask for the ruleset once; return whether there was a new one."""
        answer = self._source.ruleset(self._state.etag, TIMEOUT)
        if answer.status in {200, 304}:
            self._named = answer.stream_url
            self._polls.clear()
            notes.again("flags away")
            for status in _REFUSED:
                notes.again(f"flags refused {status}")
            return self._taken(answer)
        self._polls.put_off(answer.wait)
        refused = answer.status in _REFUSED
        if refused:
            notes.once(f"flags refused {answer.status}", "the server does not take this key: %s", answer.words)
        else:
            notes.once("flags away", "flags cannot be refreshed, the last ones stay: %s", answer.words)
        self._state.fail(answer.words, refused=refused)
        return False

    def _taken(self, answer: Fetched) -> bool:
        if answer.status == 304 or self._is_behind(answer.body):
            self._state.confirm(stale=answer.is_stale)
            return False
        if not self._state.take(answer.body, answer.etag, confirmed=True, stale=answer.is_stale):
            self._state.fail("the server's flags cannot be read by this version of the client")
            self._polls.put_off(self._settings.poll_seconds)
            return False
        if self.cache is not None:
            save(self.cache, answer.body, answer.etag, self._owner)
        return True

    def _is_behind(self, body: bytes) -> bool:
        """Whether an older ruleset than ours comes from a process that has not loaded yet what an event brought us."""
        ours = self._state.ruleset
        if ours is None or time.monotonic() - self._brought > _BEHIND:
            return False
        try:
            version = json.loads(body)["version"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return False
        return isinstance(version, int) and version < ours.version

    def _stream_at(self) -> str:
        """Return where the stream is: as configured, as the server named it, or beside the server.

        The key goes to no plain http:// address where the server itself is asked by https://.
        """
        given, named = self._settings.stream_url, self._named
        if given is None and named.startswith("http") and (named.startswith("https") or self._is_plain):
            return named
        return f"{given or stream_beside(self._settings.url)}{STREAM}"

    def _follow(self) -> None:
        """Follow the stream until it is cut; ask once it is open, so that nothing is missed in between."""
        opened = self._source.follow(self._stream_at())
        if isinstance(opened, Fetched):
            self._streams.put_off(_LOOK_EVERY if opened.status in _UNSUPPORTED else opened.wait)
            return
        self._stream, began = opened, time.monotonic()
        try:
            self.refresh()
            self.is_streaming = True
            looked = time.monotonic()
            for event in opened.events():
                if self._is_over:
                    return
                if event is not None:
                    self._catch_up(event)
                elif self._is_due(looked):
                    self.refresh()
                else:
                    continue
                looked = time.monotonic()
        finally:
            self.is_streaming, self._stream = False, None
            opened.close()
            if time.monotonic() - began > 5.0:
                self._streams.clear()
            self._streams.put_off()

    def _is_due(self, looked: float) -> bool:
        """Whether to ask though no event came: the last answer failed, or was long ago."""
        return self._polls.is_over and (self._state.name != "ready" or time.monotonic() - looked > _LOOK_EVERY)

    def _catch_up(self, event: Mapping[str, Any]) -> None:
        """Take the change that an event brings, or ask for the ruleset that it tells of.

        A process that has not loaded it yet is asked again.
        """
        etag = bare(str(event.get("etag") or ""))
        if etag and bare(self._state.etag) == etag:
            self._state.confirm()
            return
        if etag and self._is_brought(event.get("change"), etag):
            return
        for wait in _WAITS:
            if self.refresh() or not etag or not self._polls.is_over:
                return
            if self._stopping.wait(wait * random.uniform(0.7, 1.3)):  # noqa: S311 - no secret
                return

    def _is_brought(self, change: Any, etag: str) -> bool:
        if not isinstance(change, Mapping) or not self._state.follow(change, etag):
            return False
        self._brought = time.monotonic()
        if self.cache is not None:
            save(self.cache, json.dumps(self._state.document).encode(), self._state.etag, self._owner)
        return True
