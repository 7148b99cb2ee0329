"""The thread that tells the server who was given which variant: each few seconds, at the end, and never twice.

A batch has an id and is sent as the same bytes until it is taken, so one that arrives twice counts once. Where a folder
is given, what waits survives the process. Users that were told once are told as numbers afterwards: the server keeps
who was first given a variant, and how often it was evaluated.
"""

import gzip
import json
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from uuid import uuid4

from trackside_client._transport import notes
from trackside_client._transport.courier import Courier, Place
from trackside_client._transport.sender import Answer, Sender
from trackside_client._transport.spool import Batch
from trackside_client.flags.known import Known
from trackside_client.flags.settings import FlagSettings
from trackside_client.flags.tally import Exposure, Tally

_TIMEOUT, _LAST_TIMEOUT = 10.0, 3.0
_KIND = "exposures"
_MOST_IN_BATCH = 2000
_LONGEST = 200
"""Characters of a user's or account's id that is told; one that is longer counts without a name."""
_MOST_KNOWN = 200_000
"""Users and variants remembered as told; then all are forgotten, and told once more."""
_MOST_SECONDS = 7 * 86_400
"""How long a batch may wait: the server knows its id for 30 days."""


class Exposures:
    """Counts, keeps and sends what one process has evaluated."""

    def __init__(self, settings: FlagSettings, known: Known) -> None:
        self._settings = settings
        self.tally = Tally(known, self._ensure, self._hurry)
        root = None if settings.folder is None else settings.folder / _KIND
        place = Place(root, f"{settings.url}\n{settings.key}", _MOST_SECONDS)
        sender = Sender(settings.url, settings.key)
        self.courier = Courier(_KIND, sender, place, "flags/", done=self._done, lost=self._lost)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._sending, self._starting = threading.Lock(), threading.Lock()
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._known: set[tuple[str, str, str | None, str | None]] = set()
        self._is_running = False

    def reset(self) -> None:
        """Begin anew in a forked child: what the parent has counted is the parent's to send."""
        self.tally.reset()
        self.courier.reset()
        self._begin()

    def flush(self, timeout: float = _TIMEOUT) -> None:
        """Send what was counted so far; what cannot be sent waits."""
        with self._sending:
            self._send(timeout)

    def close(self) -> None:
        """Send or spool all there is, within some seconds."""
        self._stopping.set()
        self._wake.set()
        if self._pid == os.getpid() and self._sending.acquire(timeout=_LAST_TIMEOUT):
            try:
                self._send(_LAST_TIMEOUT, last=True)
            finally:
                self._sending.release()

    def _ensure(self) -> None:
        """Start the thread of this process, at its first evaluation."""
        if self._is_running or self._stopping.is_set():
            return
        self._is_running = True
        try:
            threading.Thread(target=self._run, name="trackside-exposures", daemon=True).start()
        except RuntimeError:
            notes.once("flags threads", "exposures wait for the end of the process: no thread can be started")

    def _hurry(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        wait = self._settings.flush_seconds * random.random()  # noqa: S311 - no secret
        while not self._stopping.is_set() and os.getpid() == self._pid:
            self._wake.wait(wait)
            self._wake.clear()
            began = time.monotonic()
            try:
                self.flush()
            except Exception:
                notes.once("exposures", "exposures could not be told", error=True)
            wait = max(0.05, self._settings.flush_seconds - (time.monotonic() - began))

    def _send(self, timeout: float, *, last: bool = False) -> None:
        """Put what is new behind what waits, and send the oldest first; the caller holds `_sending`.

        With a folder a batch is on disk before it is sent, so that whatever ends the process meanwhile loses nothing.
        """
        fresh = self._batches()
        for batch in fresh:
            self.courier.keep(batch)
        if last:
            self.courier.drain(timeout, self._stopping, time.monotonic() + timeout)
        elif self.courier.is_due or (fresh and self.courier.backoff.is_over):
            self.courier.drain(timeout, self._stopping)

    def _batches(self) -> list[Batch]:
        told = self._told(self.tally.take())
        return [_batch(part) for part in _parts(told, _MOST_IN_BATCH)]

    def _told(self, counted: Iterable[Exposure]) -> list[Exposure]:
        """Return what is to be told: users for whom it is the first time, and sums for all others."""
        found: list[Exposure] = []
        sums: dict[tuple[str, str], Exposure] = {}
        for it in counted:
            user, account = _name(it.user), _name(it.account)
            who = (it.flag, it.variant, user, account)
            if (user is None and account is None) or who in self._known:
                known = sums.get(who[:2])
                at, before = (known.at, known.count) if known else (it.at, 0)
                sums[who[:2]] = Exposure(it.flag, it.variant, None, None, min(at, it.at), before + it.count)
            else:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known.add(who)
                found.append(Exposure(it.flag, it.variant, user, account, it.at, it.count))
        return [*found, *sums.values()]

    def _done(self, _: Batch, answer: Answer) -> None:
        """Hear what became of a batch; where not all of it was taken nobody knows whom, and all are told once more."""
        if not answer.delivered:
            self._known.clear()
            notes.once(
                f"exposures {answer.status}", "exposures were refused with %s: %s", answer.status, answer.words[:500]
            )
        elif '"rejected":[]' not in answer.words:
            self._known.clear()
            notes.once("exposures rejected", "some exposures were refused: %s", answer.words[:500])

    def _lost(self, _: int) -> None:
        self._known.clear()  # who was in it is told again


def _name(given: str | None) -> str | None:
    return given if given is not None and len(given) <= _LONGEST and given.isprintable() else None


def _batch(exposures: list[Exposure]) -> Batch:
    told: list[dict[str, Any]] = []
    for it in exposures:
        entry: dict[str, Any] = {"flag": it.flag, "variant": it.variant, "ts": it.at, "count": it.count}
        if it.user is not None:
            entry["user"] = it.user
        if it.account is not None:
            entry["account"] = it.account
        told.append(entry)
    body = json.dumps({"batch_id": uuid4().hex, "exposures": told}, separators=(",", ":"))
    packed = gzip.compress(body.encode(), 6, mtime=0)
    return Batch(_KIND, sum(it.count for it in exposures), packed)


def _parts(given: list[Exposure], most: int) -> Iterator[list[Exposure]]:
    each = iter(given)
    while part := list(islice(each, most)):
        yield part
