"""Single requests worth seeing: those that failed, matched no route or were slow; a few of each flush.

They are sent as spans beside the counts, which hold them too: the server takes them as examples, never as requests.
"""

import os
import time
import traceback
from collections import Counter
from threading import Lock
from typing import NamedTuple

from trackside_client.usage.counters import Key

MOST, MOST_ALIKE = 50, 5
"""Samples of one flush: of all requests, and of one method, route and status."""
SLOW = 1.0
"""Seconds from which a request that went well is worth seeing too."""
_LONGEST_TEXT, _LONGEST_STACK = 500, 16_000


class Sample(NamedTuple):
    """A request: what it was, when it ended (nanoseconds since 1970), and the exception behind a failure."""

    key: Key
    path: str
    ended: int
    seconds: float
    trace_id: str
    error: "Failure | None"


class Failure(NamedTuple):
    """An exception in words; `stack` is empty unless asked for."""

    type: str
    message: str
    stack: str


class Samples:
    """Keeps the first few requests of each kind until they are taken."""

    def __init__(self, stack_traces: bool = False) -> None:
        self._stack_traces = stack_traces
        self.reset()

    def reset(self) -> None:
        """Forget everything: what a forked child does first."""
        self._lock = Lock()
        self._kept: list[Sample] = []
        self._alike: Counter[tuple[str, str | None, int]] = Counter()

    def note(self, key: Key, path: str, seconds: float, error: BaseException | None) -> None:
        """Keep a request if there is room, its path without the query string."""
        kind = key[:3]
        with self._lock:
            if len(self._kept) >= MOST or self._alike[kind] >= MOST_ALIKE:
                return
            self._alike[kind] += 1
        made = Sample(
            key,
            path.partition("?")[0][:_LONGEST_TEXT],
            time.time_ns(),
            seconds,
            os.urandom(16).hex(),
            None if error is None else self._failure(error),
        )
        self._kept.append(made)

    def take(self) -> list[Sample]:
        """Return what was kept, and begin anew."""
        with self._lock:
            taken, self._kept = self._kept, []
            self._alike.clear()
        return taken

    def _failure(self, error: BaseException) -> Failure:
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        try:
            message = str(error)[:_LONGEST_TEXT]
        except Exception:
            message = ""
        stack = "".join(traceback.format_exception(error))[-_LONGEST_STACK:] if self._stack_traces else ""
        return Failure(name[:200], message, stack)
