"""Giving up early on a Redis that is away: one try in a while, everyone else is answered at once."""

import threading
from collections.abc import Callable

PAUSE = 0.5
"""Seconds without a try after one that failed."""


class Breaker:
    """Whether to try at all; `seconds` is a clock that never goes back."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._again = float("-inf")

    def closed(self) -> bool:
        """Whether to try: always while all is well, else one caller in each pause."""
        if self._again == float("-inf"):
            return True
        with self._lock:
            now = self._seconds()
            if now < self._again:
                return False
            self._again = now + PAUSE
            return True

    def failed(self) -> None:
        """Note that a try failed: nobody tries for a while."""
        self._again = self._seconds() + PAUSE

    def worked(self) -> None:
        """Note that a try worked."""
        if self._again != float("-inf"):
            self._again = float("-inf")
