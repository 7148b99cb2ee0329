"""What the counts of requests and of evaluations are both brought to the server by: sent, or kept until they can be.

One courier brings the batches of one kind of report. While the server is away what is new waits behind what waits
already, on disk where there is a folder; then the oldest goes first, after a wait that doubles or as the server asked.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import NamedTuple

from trackside_client._transport import notes
from trackside_client._transport.sender import Answer, Backoff, Sender
from trackside_client._transport.spool import MOST_SECONDS, Batch, Folder, Memory, Spool

_LOOK_EVERY = 30.0
"""Seconds between two looks for what a process that is gone has left in the spool."""


class Place(NamedTuple):
    """Where batches wait: in the folder of `owner` below `root`, or in memory where that is None."""

    root: Path | None
    owner: str
    most_seconds: float = MOST_SECONDS

    def open(self) -> Spool:
        """Return the spool.

        Raises:
            OSError: The folder cannot be used.

        """
        if self.root is None:
            return Memory(most_seconds=self.most_seconds)
        return Folder(self.root, self.owner, most_seconds=self.most_seconds)


class Courier:
    """Sends batches and keeps what the server does not take now; its caller sees to it that one thread does so.

    Args:
        what: The reports in a word, for the log, such as `exposures`.
        sender: Posts a batch.
        place: Where batches wait.
        path: What stands before a batch's kind in its address, such as `flags/`.
        done: Hears of each batch that the server took, or refused for good.
        lost: Hears how many calls had to be given up, as they were too old or too many.

    """

    def __init__(
        self,
        what: str,
        sender: Sender,
        place: Place,
        path: str = "",
        *,
        done: Callable[[Batch, Answer], None],
        lost: Callable[[int], None],
    ) -> None:
        self._what, self._sender, self._place, self._path = what, sender, place, path
        self._done, self._lost = done, lost
        self.spool: Spool | None = None
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a forked child too: what the parent keeps in memory is the parent's to send."""
        if isinstance(self.spool, Memory):
            self.spool = None
        self.backoff = Backoff()
        self.is_away = False
        self._looked = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to send what waits, or to look whether anything does."""
        return (self.is_away or time.monotonic() - self._looked >= _LOOK_EVERY) and self.backoff.is_over

    def send(self, batch: Batch, timeout: float) -> bool:
        """Send a batch; return whether it is done with, delivered or refused for good."""
        answer = self._sender.post(self._path + batch.kind, batch.body, timeout)
        if answer.later:
            self.backoff.put_off(answer.wait)
            self.is_away = True
            said = answer.words or answer.status
            notes.once(f"{self._what} away", "the server does not take %s now, they wait: %s", self._what, said)
            return False
        if answer.delivered:
            if self.is_away:
                notes.again(f"{self._what} away")
            self.backoff.clear()
        self._done(batch, answer)
        return True

    def keep(self, batch: Batch) -> None:
        """Put a batch behind those that wait; in memory where the folder does not work."""
        try:
            lost = self._waiting.put(batch)
        except OSError as error:
            self._stay_in_memory(error)
            lost = self._waiting.put(batch)
        self._give_up(lost)

    def drain(self, timeout: float, stopping: Event, until: float = math.inf) -> None:
        """Send what waits, the oldest first, unless another process is about it.

        It ends after the batch in hand at `until` (`time.monotonic`), and without one as soon as `stopping` is set.
        """
        self._looked = time.monotonic()
        try:
            spool = self._waiting
            self._give_up(spool.expire())
            with spool.turn() as is_ours:
                while is_ours and (batch := spool.oldest()):
                    if not self.send(batch, timeout):
                        return
                    spool.remove(batch)
                    if time.monotonic() >= until or (stopping.is_set() and until == math.inf):
                        return
            if is_ours:
                self.is_away = False
        except OSError as error:
            self._stay_in_memory(error)
            self.is_away = False

    @property
    def is_in_memory(self) -> bool:
        """Whether what waits ends with the process."""
        return isinstance(self.spool, Memory)

    @property
    def _waiting(self) -> Spool:
        if self.spool is None:
            try:
                self.spool = self._place.open()
            except OSError as error:
                return self._stay_in_memory(error)
        return self.spool

    def _stay_in_memory(self, error: OSError) -> Spool:
        notes.once(f"{self._what} spool", "the spool cannot be used, %s wait in memory: %s", self._what, error)
        self.spool = Memory(most_seconds=self._place.most_seconds)
        return self.spool

    def _give_up(self, calls: int) -> None:
        if calls:
            self._lost(calls)
            text = "the server was away for too long: the oldest %s, of %d calls, are lost"
            notes.once(f"{self._what} lost", text, self._what, calls)
