"""Counts as columns of numbers: grouped and summed by the ten thousand, whatever table they go to.

The fold makes `Counts` of what arrived, the roll-up of what the tier below holds; both get the rows of the three
families from them by the same few array operations (`by_user`, `by_endpoint`, `of_user`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from pyroaring import BitMap64

from trackside_modules.usage.storage.histogram import ZERO
from trackside_modules.usage.storage.packs import WIDTH, Ints, encode, pairs
from trackside_modules.usage.storage.tiers import WRONG_STATUSES

LARGEST = 1 << 62
"""What sums stop at: PostgreSQL's bigint, and numpy's, ends at twice that."""


class Buckets(NamedTuple):
    """Histograms of many rows: for each bucket that holds something its row, its column (see `packs`), its count."""

    rows: Ints
    columns: Ints
    counts: Ints

    def pack(self, size: int) -> list[bytes]:
        """Return the packed histograms of `size` rows; the buckets must be in order (see `summed`)."""
        return encode(self.rows, self.columns, self.counts, size)

    def within(self, groups: Ints) -> "Buckets":
        """Return the sums by group, in order; `groups` names the group of each row."""
        return Buckets(groups[self.rows], self.columns, self.counts).summed()

    def summed(self) -> "Buckets":
        """Return the same in order of row and column, each of them once."""
        places = self.rows * WIDTH + self.columns
        order = np.argsort(places, kind="stable")
        places = places[order]
        firsts = np.flatnonzero(np.diff(places, prepend=-1))
        counts = np.add.reduceat(self.counts[order], firsts) if len(firsts) else self.counts
        return Buckets(places[firsts] // WIDTH, places[firsts] % WIDTH, counts)

    def __add__(self, other: tuple[object, ...]) -> "Buckets":
        """Return the buckets of both."""
        return Buckets(*(np.concatenate(both) for both in zip(self, other, strict=True)))  # type: ignore[arg-type]


def unpacked(packs: Sequence[bytes], rows: Ints | None = None) -> Buckets:
    """Return packed histograms as buckets, of the rows named, or of rows 0, 1, 2 ..."""
    owners, columns, counts = pairs(packs)
    return Buckets(owners if rows is None else rows[owners], columns, counts)


@dataclass(frozen=True, slots=True)
class Counts:
    """What calls came to by time (seconds since 1970), endpoint, user and status; times taken in microseconds."""

    at: Ints
    endpoint: Ints
    user: Ints
    status: Ints
    calls: Ints
    micros: Ints
    longest: Ints
    approximate: Ints
    latency: Buckets

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.at)

    def where(self, kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "Counts":
        """Return the rows that are told to be kept."""
        if kept.all():
            return self
        places = np.cumsum(kept) - 1
        mine = kept[self.latency.rows]
        buckets = Buckets(places[self.latency.rows[mine]], self.latency.columns[mine], self.latency.counts[mine])
        columns: dict[str, Any] = {name: getattr(self, name)[kept] for name in _COLUMNS}
        return Counts(**columns, latency=buckets)

    def per(self, seconds: int) -> "Counts":
        """Return the same by the hour (3600) or by the day (86400) instead."""
        return replace(self, at=self.at - self.at % seconds)

    def at_one(self, at: int) -> "Counts":
        """Return the same as of one time."""
        return replace(self, at=np.full(len(self), at, dtype=np.int64))


_COLUMNS = ("at", "endpoint", "user", "status", "calls", "micros", "longest", "approximate")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table as it stores them: `keys` and `sums` in the order of its columns (see `tables`)."""

    keys: tuple[Ints, ...]
    sums: tuple[Ints, ...]
    longest: Ints
    latency: Buckets
    approximate: Ints | None = None
    users: list[BitMap64] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.longest)


def summed(counts: Counts) -> Counts:
    """Return the same with one row for each time, endpoint, user and status."""
    rows = by_user(counts)
    (at, endpoint, user, status), (calls, micros, _) = rows.keys, rows.sums
    rough = np.zeros(0, dtype=np.int64) if rows.approximate is None else rows.approximate
    return Counts(at, endpoint, user, status, calls, micros, rows.longest, rough, rows.latency)


def joined(first: Counts, second: Counts) -> Counts:
    """Return the rows of both."""
    columns: dict[str, Any] = {name: np.concatenate((getattr(first, name), getattr(second, name))) for name in _COLUMNS}
    moved = Buckets(second.latency.rows + len(first), *second.latency[1:])
    return Counts(**columns, latency=first.latency + moved)


def by_user(counts: Counts) -> Rows:
    """Return the rows by time, endpoint, user and status."""
    group = Groups.of(counts.at, counts.endpoint, counts.user, counts.status)
    return _rows(counts, group, (), group.any(counts.approximate))


def by_endpoint(counts: Counts) -> Rows:
    """Return the rows by time, endpoint and status, with the set of who called."""
    group = Groups.of(counts.at, counts.endpoint, counts.status)
    callers = counts.user[group.order]
    ends = [*group.firsts.tolist(), len(callers)][1:]
    users = [BitMap64(callers[start:end].tolist()) for start, end in zip(group.firsts.tolist(), ends, strict=True)]
    for known in users:
        known.discard(0)
    return replace(_rows(counts, group, (), group.any(counts.approximate)), users=users)


def of_user(counts: Counts, nowhere: Sequence[int]) -> Rows:
    """Return the rows by time and user, with their errors and wrong turns; `nowhere` are the unmatched endpoints."""
    group = Groups.of(counts.at, counts.user)
    client = (counts.status >= 400) & (counts.status < 500)
    wrong = np.isin(counts.status, WRONG_STATUSES) | np.isin(counts.endpoint, np.asarray(nowhere, dtype=np.int64))
    sorts = (client, counts.status >= 500, wrong)
    return _rows(counts, group, tuple(group.sum(np.where(it, counts.calls, 0)) for it in sorts), None)


def seen_by_user(counts: Counts) -> dict[int, tuple[int, int]]:
    """Return when each known user called first and last."""
    group = Groups.of(counts.user)
    times = zip(group.keys[0].tolist(), group.least(counts.at).tolist(), group.most(counts.at).tolist(), strict=True)
    return {user: (first, last) for user, first, last in times if user}


def _rows(counts: Counts, group: "Groups", sorts: tuple[Ints, ...], approximate: Ints | None) -> Rows:
    latency = counts.latency.within(group.of_row)
    slow = np.zeros(len(group.firsts), dtype=np.int64)
    late = latency.columns >= -ZERO
    np.add.at(slow, latency.rows[late], latency.counts[late])
    sums = (group.sum(counts.calls), group.sum(counts.micros), slow, *sorts)
    return Rows(group.keys, sums, group.most(counts.longest), latency, approximate)


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows with equal keys, in the order of their keys."""

    keys: tuple[Ints, ...]
    order: Ints
    firsts: Ints
    of_row: Ints

    @classmethod
    def of(cls, *keys: Ints) -> "Groups":
        """Return the groups of rows by these columns."""
        order = np.lexsort(keys[::-1])
        ordered = [key[order] for key in keys]
        new = np.zeros(len(order), dtype=bool)
        new[:1] = True
        for key in ordered:
            new[1:] |= key[1:] != key[:-1]
        of_row = np.empty(len(order), dtype=np.int64)
        of_row[order] = np.cumsum(new) - 1
        firsts = np.flatnonzero(new)
        return cls(tuple(key[firsts] for key in ordered), order, firsts, of_row)

    def sum(self, values: Ints) -> Ints:
        """Return the sums by group, none above `LARGEST`."""
        if not len(self.firsts):
            return values
        summed: Ints = np.add.reduceat(values[self.order], self.firsts)
        if float(values.sum(dtype=np.float64)) < LARGEST:
            return summed
        rough = np.add.reduceat(values[self.order].astype(np.float64), self.firsts)
        return np.where(rough < LARGEST, summed, LARGEST)

    def most(self, values: Ints) -> Ints:
        """Return the largest of each group."""
        return np.maximum.reduceat(values[self.order], self.firsts) if len(self.firsts) else values

    def least(self, values: Ints) -> Ints:
        """Return the smallest of each group."""
        return np.minimum.reduceat(values[self.order], self.firsts) if len(self.firsts) else values

    def any(self, values: Ints) -> Ints:
        """Return 1 for each group where one is not 0, else 0."""
        return self.most(values)
