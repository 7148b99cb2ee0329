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


class Places:
    """The places of one process.

    Args:
        threads: how many the server has; one in eight, at least one, is kept for hot routes.

    """

    def __init__(self, threads: int) -> None:
        share = max(1, threads * 5 // 8)
        self._all = BoundedSemaphore(max(1, threads - max(1, threads // 8)))
        self._of = {"pages": BoundedSemaphore(share), "slow": BoundedSemaphore(share)}

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


def _busy() -> Unavailable:
    return Unavailable("Trackside is busy: too much is being done at once. Try again in a second.", 1)
