"""How the web threads are shared, so that what is slow never takes the last of them.

Pages wait for queries, ingest waits for bodies and commits; a hot route (a flag check) takes a microsecond and must
always find a thread. So pages and ingest each have a share, and together they leave threads over. Whoever waits for a
place holds a thread too, so waiting counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Literal

from trackside.errors import Unavailable

PATIENCE = 0.5
"""Seconds that a request may wait for a place of its share."""
Share = Literal["pages", "slow"]


def server_threads(threads: int) -> int:
    """Return how many threads the server needs: those that work, and as many that wait for the bodies of pages."""
    return 2 * threads


class Places:
    """The places of one process.

    Args:
        threads: how many work (the server has more, see `server_threads`); one in eight, at least one, is kept for
            hot routes.

    """

    def __init__(self, threads: int) -> None:
        share = max(1, threads * 5 // 8)
        self._all = BoundedSemaphore(max(1, threads - max(1, threads // 8)))
        self._of = {"pages": BoundedSemaphore(share), "slow": BoundedSemaphore(share)}
        self._bodies = BoundedSemaphore(threads)

    def take(self, share: Share) -> None:
        """Take a place, or raise Unavailable when none comes free in time; give it back with `free`."""
        if not self._all.acquire(blocking=False):
            raise _busy()
        if not self._of[share].acquire(timeout=PATIENCE):
            self._all.release()
            raise _busy()

    def free(self, share: Share) -> None:
        """Give a place back."""
        self._of[share].release()
        self._all.release()

    @contextmanager
    def hold(self, share: Share) -> Iterator[None]:
        """Hold a place for the length of the block."""
        self.take(share)
        try:
            yield
        finally:
            self.free(share)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Hold one of the threads set aside for bodies of pages: anyone can send those, as slowly as they like."""
        if not self._bodies.acquire(blocking=False):
            raise _busy()
        try:
            yield
        finally:
            self._bodies.release()


def _busy() -> Unavailable:
    return Unavailable("Trackside is busy: too much is being done at once. Try again in a second.", 1)
