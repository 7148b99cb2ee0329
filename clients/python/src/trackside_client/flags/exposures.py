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
from trackside_client._transport.sender import Backoff, Sender
from trackside_client._transport.spool import Batch, Folder, Memory, Spool
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
_LOOK_EVERY = 30.0


class Exposures:
    """Counts, keeps and sends what one process has evaluated."""

    def __init__(self, settings: FlagSettings) -> None:
        self._settings = settings
        self._sender = Sender(settings.url, settings.key)
        self.tally = Tally(self._ensure, self._hurry)
        self._spool: Spool | None = None
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._sending, self._starting = threading.Lock(), threading.Lock()
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._backoff = Backoff()
        self._known: set[tuple[str, str, str | None, str | None]] = set()
        self._is_running = self._is_away = False
        self._looked = 0.0

    def reset(self) -> None:
        """Begin anew in a forked child: what the parent has counted is the parent's to send."""
        self.tally.reset()
        if isinstance(self._spool, Memory):
            self._spool = None
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
            self._keep(batch)
        is_due = bool(fresh) or self._is_away or time.monotonic() - self._looked >= _LOOK_EVERY
        if (is_due and self._backoff.is_over) or last:
            self._drain(timeout, until=time.monotonic() + timeout if last else float("inf"))

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

    def _take(self, batch: Batch, timeout: float) -> bool:
        """Send a batch; return whether it is done with."""
        answer = self._sender.post(f"flags/{batch.kind}", batch.body, timeout)
        if answer.later:
            self._backoff.put_off(answer.wait)
            self._is_away = True
            notes.once("exposures away", "exposures wait, the server does not take them: %s", answer.words)
        elif answer.delivered:
            if self._is_away:
                notes.again("exposures away")
            self._is_away = False
            self._backoff.clear()
            if '"rejected":[]' not in answer.words:
                self._known.clear()  # nobody knows whom: all are told once more
                notes.once("exposures rejected", "some exposures were refused: %s", answer.words[:500])
        else:
            self._known.clear()
            notes.once(
                f"exposures {answer.status}", "exposures were refused with %s: %s", answer.status, answer.words[:500]
            )
        return not answer.later

    def _keep(self, batch: Batch) -> None:
        try:
            lost = self._waiting.put(batch)
        except OSError as error:
            notes.once("exposures spool", "the folder cannot be written, exposures wait in memory: %s", error)
            self._spool = Memory()
            lost = self._spool.put(batch)
        self._give_up(lost)

    def _drain(self, timeout: float, until: float) -> None:
        spool = self._waiting
        self._looked = time.monotonic()
        try:
            self._give_up(spool.expire())
            with spool.turn() as is_ours:
                while is_ours and (batch := spool.oldest()):
                    if not self._take(batch, timeout):
                        return
                    spool.remove(batch)
                    if time.monotonic() >= until:
                        return
        except OSError as error:
            notes.once("exposures spool", "the folder cannot be read, what is in it waits: %s", error)
            self._spool = Memory()

    @property
    def _waiting(self) -> Spool:
        if self._spool is None:
            self._spool = self._open()
        return self._spool

    def _open(self) -> Spool:
        if self._settings.folder is None:
            return Memory(most_seconds=_MOST_SECONDS)
        try:
            owner = f"{self._settings.url}\n{self._settings.key}"
            return Folder(self._settings.folder / _KIND, owner, most_seconds=_MOST_SECONDS)
        except OSError as error:
            notes.once("exposures spool", "the folder cannot be used, exposures wait in memory: %s", error)
            return Memory(most_seconds=_MOST_SECONDS)

    def _give_up(self, count: int) -> None:
        if count:
            self._known.clear()  # who was in it is told again
            notes.once("exposures lost", "the server was away for too long: %d evaluations are not counted", count)


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
