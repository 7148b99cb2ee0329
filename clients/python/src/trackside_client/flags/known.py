"""What users were answered since the last flush: a check that was made before is two look-ups, without its rules.

Most flags ask for the user and for one attribute more at most, and what those are decides the answer for good, until
the ruleset changes. So the counter of a user's evaluations, which is looked up for each check in any case, is found by
these two and carries the answer. Flags that ask for more, for the moment, for other flags or for segments are not kept.
"""

import threading
from typing import Any

from trackside_client.flags.result import Context
from trackside_client.flags.spec import USER

MOST = 20_000
"""Answers kept between two flushes: some 350 bytes each at the worst. Others are evaluated anew."""


Answers = dict[str, tuple[str | None, dict[Any, Any]]]
"""Flag -> the attribute that it asks for besides the user (None: no other), and the counters of its answers.

Those are found by that attribute's value and the user, or by the user alone. Only texts are kept, and None for an
attribute that is absent: nothing else that is equal to one can be confused.
"""


class Known:
    """The answers of one process.

    `by_flag` is emptied, never replaced, so that it can be held.
    """

    __slots__ = ("_lock", "_size", "by_flag", "turn")

    def __init__(self) -> None:
        self.by_flag: Answers = {}
        self.turn = 0
        """How often it was emptied: to be read before what is kept is evaluated."""
        self.reset()

    def reset(self) -> None:
        """Forget everything, also who holds the lock: what a forked child does first."""
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Forget all answers: there are other flags, or another table of counters."""
        with self._lock:
            self.turn += 1
            self._size = 0
            self.by_flag.clear()

    def keep(self, turn: int, key: str, beside: str | None, context: Context, counter: Any) -> None:
        """Keep the counter of an answer, unless everything was forgotten since `turn`."""
        user, value = context.get(USER), None if beside is None else context.get(beside)
        if type(user) is not str or not user or not (value is None or type(value) is str):
            return
        with self._lock:
            if turn == self.turn and self._size < MOST:
                self._size += 1
                mine = self.by_flag.setdefault(key, (beside, {}))[1]
                (mine if beside is None else mine.setdefault(value, {}))[user] = counter
