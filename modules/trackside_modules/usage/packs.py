"""Many packed histograms at once, by numpy: what pages and roll-ups read by the ten thousand.

`histogram` explains the form and works on one; here a call costs the same few array operations whatever the number.
Counts come as matrices: a row for each group, a column for each bucket from `ZERO` to `HIGHEST`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackside_modules.usage.histogram import HIGHEST, ZERO, estimate

Ints = NDArray[np.int64]

WIDTH = HIGHEST - ZERO + 1
"""Columns of a matrix of counts."""
ESTIMATES: NDArray[np.float64] = np.array([estimate(index) for index in range(ZERO, HIGHEST + 1)])
"""The duration in seconds that stands for each column."""


def matrix(packs: Sequence[bytes], groups: Sequence[int] | Ints, size: int, times: Sequence[int] | None = None) -> Ints:
    """Return the sums of packed histograms by group.

    Args:
        packs: What `histogram.pack` wrote.
        groups: The row, in 0..size, that each is added to.
        size: The number of rows.
        times: How often each counts; once where not told.

    Raises:
        ValueError: Something is no packed histogram.

    """
    owners, columns, counts = pairs(packs)
    rows = np.asarray(groups, dtype=np.int64)[owners]
    if times is not None:
        counts = counts * np.asarray(times, dtype=np.int64)[owners]
    summed = np.zeros(size * WIDTH, dtype=np.int64)
    np.add.at(summed, rows * WIDTH + columns, counts)
    return summed.reshape(size, WIDTH)


def pairs(packs: Sequence[bytes]) -> tuple[Ints, Ints, Ints]:
    """Return, for each bucket of each histogram in order: which histogram it is of, its column, its count.

    Raises ValueError where something is no packed histogram.
    """
    joined = np.frombuffer(b"".join(packs), dtype=np.uint8)
    if not len(joined):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    owner_of_byte = np.repeat(np.arange(len(packs)), [len(pack) for pack in packs])
    last = joined < 0x80
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if not last[-1] or len(ends) % 2 or (owner_of_byte[starts[::2]] != owner_of_byte[ends[1::2]]).any():
        raise ValueError("a packed histogram ends in the middle of a number")
    places = np.arange(len(joined)) - np.repeat(starts, ends - starts + 1)
    parts = (joined & 0x7F).astype(np.int64) << (7 * places)
    numbers = np.add.reduceat(parts, starts)
    owners, steps, counts = owner_of_byte[starts[::2]], numbers[::2], numbers[1::2]
    steps = (steps >> 1) ^ -(steps & 1)
    running = np.cumsum(steps)
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    before = np.repeat(running[firsts] - steps[firsts], np.diff(firsts, append=len(owners)))
    columns = running - before - ZERO
    if columns.min() < 0 or columns.max() >= WIDTH:
        raise ValueError("a packed histogram has a bucket beyond the range")
    return owners, columns, counts


def pack_rows(counts: Ints) -> list[bytes]:
    """Return each row of a matrix as `histogram.pack` would write it."""
    rows, columns = np.nonzero(counts)
    return encode(rows, columns, counts[rows, columns], len(counts))


def encode(rows: Ints, columns: Ints, counts: Ints, size: int) -> list[bytes]:
    """Return `size` histograms as `histogram.pack` would write them, from buckets in order of row and column."""
    indexes = columns + ZERO
    steps = np.diff(indexes, prepend=0)
    firsts = np.diff(rows, prepend=-1) != 0
    steps[firsts] = indexes[firsts]
    numbers = np.empty(2 * len(rows), dtype=np.int64)
    numbers[::2], numbers[1::2] = (steps << 1) ^ (steps >> 63), counts
    lengths = np.ones(len(numbers), dtype=np.int64)
    for shift in range(7, 63, 7):
        lengths += numbers >= 1 << shift
    ends = np.cumsum(lengths)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for place in range(int(lengths.max(initial=0))):
        has = lengths > place
        more = np.where(lengths[has] > place + 1, 0x80, 0)
        out[ends[has] - lengths[has] + place] = (numbers[has] >> (7 * place)) & 0x7F | more
    data = out.tobytes()
    per_row = np.bincount(np.repeat(rows, 2), weights=lengths, minlength=size).astype(np.int64)
    stops = np.cumsum(per_row).tolist()
    return [data[start:stop] for start, stop in zip([0, *stops][:-1], stops, strict=True)]


def quantiles(counts: Ints, *shares: float) -> list[list[float | None]]:
    """Return the nearest-rank percentiles in seconds of each row, one list a row; None where nothing was counted."""
    running = np.cumsum(counts, axis=1)
    totals = running[:, -1] if running.size else np.zeros(len(counts), dtype=np.int64)
    columns: list[list[float | None]] = []
    for share in shares:
        ranks = np.maximum(1, np.ceil(share * totals))
        found: list[Any] = ESTIMATES[np.argmax(running >= ranks[:, None], axis=1)].tolist()
        columns.append([value if total else None for value, total in zip(found, totals.tolist(), strict=True)])
    return [list(row) for row in zip(*columns, strict=True)]
