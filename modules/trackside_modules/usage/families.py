"""The rows of one bucket of time in all three families, made from what each user called.

The roll-up gives what it read from the tier below, the demo what it invented: both write what `Bucket` makes of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackside_modules.usage import reach
from trackside_modules.usage.histogram import ZERO
from trackside_modules.usage.packs import Ints, pack_rows
from trackside_modules.usage.tiers import WRONG_STATUSES

_FIRST_SLOW = -ZERO
"""The column where durations of more than a second begin."""

COUNTED = ("calls", "micros", "longest", "latency", "slow")
BY_USER = ("endpoint_id", "user_id", "status", *COUNTED, "approximate")
BY_ENDPOINT = ("endpoint_id", "status", *COUNTED, "approximate", "users")
OF_USER = ("user_id", *COUNTED, "client_errors", "server_errors", "wrong_turns")
"""The columns of each family after `env_id` and `at`, in the order of the rows made here."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What users called in one hour or day, one entry for each row of the lower tier; entries may repeat a key.

    All arrays have the same length; `counts` has a row of latency buckets for each (see `packs.matrix`).
    """

    endpoints: Ints
    users: Ints
    statuses: Ints
    micros: Ints
    longest: Ints
    counts: Ints
    approximate: NDArray[np.bool_]

    def by_user(self) -> Iterator[tuple[Any, ...]]:
        """Yield a row for each endpoint, user and status."""
        keys, of = _grouped(self.endpoints, self.users, self.statuses)
        rough = _any(self.approximate, of, len(keys))
        for key, counted, approximate in zip(keys.tolist(), self._summed(of, len(keys)), rough, strict=True):
            yield (*key, *counted, approximate)

    def by_endpoint(self) -> Iterator[tuple[Any, ...]]:
        """Yield a row for each endpoint and status, with everybody who called."""
        keys, of = _grouped(self.endpoints, self.statuses)
        rough = _any(self.approximate, of, len(keys))
        order = np.argsort(of, kind="stable")
        who = np.split(self.users[order], np.cumsum(np.bincount(of, minlength=len(keys)))[:-1])
        summed = self._summed(of, len(keys))
        for key, counted, approximate, users in zip(keys.tolist(), summed, rough, who, strict=True):
            yield (*key, *counted, approximate, reach.pack(users.tolist()))

    def of_user(self, nowhere: set[int]) -> Iterator[tuple[Any, ...]]:
        """Yield a row for each user; `nowhere` are the endpoints that stand for what does not exist."""
        keys, of = _grouped(self.users)
        calls = self.counts.sum(axis=1)
        wrong = np.isin(self.statuses, WRONG_STATUSES) | np.isin(self.endpoints, list(nowhere))
        sorts = ((self.statuses >= 400) & (self.statuses < 500), self.statuses >= 500, wrong)
        sums = [_sums(np.where(sort, calls, 0), of, len(keys)).tolist() for sort in sorts]
        for (user,), counted, *sorted_ in zip(keys.tolist(), self._summed(of, len(keys)), *sums, strict=True):
            yield (user, *counted, *sorted_)

    def _summed(self, of: Ints, size: int) -> Iterator[tuple[int, int, int, bytes, int]]:
        """Yield what is counted of each group."""
        counts = np.zeros((size, self.counts.shape[1]), dtype=np.int64)
        np.add.at(counts, of, self.counts)
        longest = np.zeros(size, dtype=np.int64)
        np.maximum.at(longest, of, self.longest)
        return zip(
            counts.sum(axis=1).tolist(),
            _sums(self.micros, of, size).tolist(),
            longest.tolist(),
            pack_rows(counts),
            counts[:, _FIRST_SLOW:].sum(axis=1).tolist(),
            strict=True,
        )


def _grouped(*columns: Ints) -> tuple[Ints, Ints]:
    """Return the distinct keys, a row for each, and which of them each entry has."""
    keys, of = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return keys, of.reshape(-1)


def _sums(values: Ints, of: Ints, size: int) -> Ints:
    summed = np.zeros(size, dtype=np.int64)
    np.add.at(summed, of, values)
    return summed


def _any(flags: NDArray[np.bool_], of: Ints, size: int) -> list[bool]:
    found = np.zeros(size, dtype=np.bool_)
    np.logical_or.at(found, of, flags)
    return [bool(flag) for flag in found]
