"""Many packed histograms at once, by numpy: what pages and roll-ups read by the ten thousand.

`histogram` explains the form and works on one; here a call costs the same few array operations whatever the number.
Counts come as matrices: a row for each group, a column for each bucket from `ZERO` to `HIGHEST`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackside_modules.usage.storage.histogram import HIGHEST, ZERO, estimate

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
    return joined(b"".join(packs), [len(pack) for pack in packs], groups, size, times)


def joined(
    data: bytes,
    lengths: Sequence[int] | Ints,
    groups: Sequence[int] | Ints,
    size: int,
    times: Sequence[int] | None = None,
) -> Ints:
    """Return what `matrix` does of packed histograms that stand one after the other in `data`, each so long."""
    owners, columns, counts = _pairs(data, np.asarray(lengths, dtype=np.int64))
    if times is not None:
        counts = counts * np.asarray(times, dtype=np.int64)[owners]
    cells = (np.asarray(groups, dtype=np.int64) * WIDTH)[owners]
    cells += columns
    # weights are summed as floats, which are exact up to 2**53 requests
    summed = np.bincount(cells, weights=counts, minlength=size * WIDTH)
    return summed.astype(np.int64).reshape(size, WIDTH)


def pairs(packs: Sequence[bytes]) -> tuple[Ints, Ints, Ints]:
    """Return, for each bucket of each histogram in order: which histogram it is of, its column, its count.

    Raises ValueError where something is no packed histogram.
    """
    return _pairs(b"".join(packs), np.array([len(pack) for pack in packs], dtype=np.int64))


def _pairs(data: bytes, lengths: Ints) -> tuple[Ints, Ints, Ints]:
    """Return `pairs` of histograms that stand one after the other in `data`, each so long."""
    stream = np.frombuffer(data, dtype=np.uint8)
    if not len(stream):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    ends = np.flatnonzero(stream < 0x80)
    widths = np.diff(ends, prepend=-1)
    starts = ends - widths + 1
    stops = np.cumsum(lengths)
    done = np.searchsorted(ends, stops)  # numbers up to the end of each histogram
    whole = np.concatenate(([-1], ends))[done] == stops - 1
    if not whole.all() or (done % 2).any() or stops[-1] != len(stream):
        raise ValueError("a packed histogram ends in the middle of a number")
    numbers = (stream[ends].astype(np.int64)) << (7 * (widths - 1))
    for place in range(int(widths.max()) - 1):
        more = np.flatnonzero(widths > place + 1)
        numbers[more] += (stream[starts[more] + place] & 0x7F).astype(np.int64) << (7 * place)
    steps, counts = numbers[::2], numbers[1::2]
    steps = (steps >> 1) ^ -(steps & 1)
    sizes = np.diff(done // 2, prepend=0)
    running = np.cumsum(steps)
    before = np.concatenate(([0], running))[done // 2 - sizes]  # the sum of all steps of those that came earlier
    owners = np.repeat(np.arange(len(lengths)), sizes)
    columns = running - np.repeat(before, sizes) - ZERO
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
