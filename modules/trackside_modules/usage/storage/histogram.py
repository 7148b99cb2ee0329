"""The one latency histogram: base 2 exponential, scale 4, in seconds.

Bucket `i` holds the durations in `(g^i, g^(i+1)]` with `g = 2^(1/16)`; its estimate `2 g^i g / (1 + g)` is never more
than `(g - 1) / (g + 1)` = 2.17 % away from a member. A histogram is a plain `{index: count}`: merging is adding, so it
commutes, and the result does not depend on how the data was cut up. What is not longer than 10 us (zero included)
counts in `ZERO`, what is longer than an hour in `HIGHEST`.

Other people's buckets are brought over by share of their width: whole counts stay whole, and no count is lost.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import cast

Histogram = dict[int, int]
"""Counts by scale-4 index; an index without a request is absent."""

SCALE = 4
_PER_DOUBLING = 1 << SCALE
_BASE: float = 2.0 ** (1 / _PER_DOUBLING)
_TINY, _HUGE = 10e-6, 3600.0
LOWEST = math.ceil(math.log2(_TINY) * _PER_DOUBLING) - 1
HIGHEST = math.ceil(math.log2(_HUGE) * _PER_DOUBLING) - 1
ZERO = LOWEST - 1


def index_of(seconds: float) -> int:
    """Return the bucket of a duration; an exact power of two is the inclusive upper end of its bucket."""
    if seconds <= _upper(ZERO):
        return ZERO
    if seconds >= _HUGE:
        return HIGHEST
    return math.ceil(math.log2(seconds) * _PER_DOUBLING) - 1


def estimate(index: int) -> float:
    """Return the duration in seconds that stands for a bucket: the point of least relative error."""
    if index <= ZERO:
        return 0.0
    return float(2.0 * _BASE**index * _BASE / (1.0 + _BASE))


def is_tiny(seconds: float) -> bool:
    """Whether a duration is in the lowest bucket, give or take a rounding."""
    return seconds <= _upper(ZERO) * (1 + 1e-9)


def _upper(index: int) -> float:
    """Return the inclusive upper end of a bucket in seconds."""
    return float(2.0 ** ((index + 1) / _PER_DOUBLING))


def upper_bounds() -> list[float]:
    """Return the upper end in seconds of every bucket from `ZERO` to `HIGHEST`."""
    return [_upper(index) for index in range(ZERO, HIGHEST + 1)]


def merge(into: Histogram, other: Mapping[int, int] | Iterable[tuple[int, int]], times: int = 1) -> Histogram:
    """Add `other`, taken `times` times, to `into` in place, and return `into`."""
    pairs = cast("Iterable[tuple[int, int]]", other.items() if isinstance(other, Mapping) else other)
    for index, count in pairs:
        into[index] = into.get(index, 0) + count * times
    return into


def percentiles(histogram: Mapping[int, int], *quantiles: float) -> list[float | None]:
    """Return the nearest-rank percentile in seconds for each quantile in 0..1; None where nothing was counted."""
    total = sum(histogram.values())
    if not total:
        return [None] * len(quantiles)
    ordered = sorted(histogram.items())
    return [_at_rank(ordered, max(1, math.ceil(quantile * total))) for quantile in quantiles]


def _at_rank(ordered: list[tuple[int, int]], rank: int) -> float:
    seen = 0
    for index, count in ordered:
        seen += count
        if seen >= rank:
            return estimate(index)
    return estimate(ordered[-1][0])


def slow(histogram: Mapping[int, int]) -> int:
    """Return how many durations were longer than a second, which is where bucket 0 begins."""
    return sum(count for index, count in histogram.items() if index >= 0)


def pack(histogram: Mapping[int, int]) -> bytes:
    """Return the histogram as varints: zig-zag step from the previous index (at first from 0), then the count."""
    out = bytearray()
    previous = 0
    for index in sorted(histogram):
        count = histogram[index]
        if not count:
            continue
        step, previous = index - previous, index
        _put(out, (step << 1) ^ (step >> 63))
        _put(out, count)
    return bytes(out)


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def unpack(packed: bytes | memoryview) -> Histogram:
    """Return the histogram that `pack` wrote; raise ValueError for bytes that end early."""
    numbers: list[int] = []
    number = shift = 0
    for byte in packed:
        if byte > 0x7F:
            number |= (byte & 0x7F) << shift
            shift += 7
        else:
            numbers.append(number | byte << shift)
            number = shift = 0
    if shift or len(numbers) & 1:
        raise ValueError("a packed histogram ends in the middle of a number")
    histogram: Histogram = {}
    index = 0
    for step, count in zip(numbers[::2], numbers[1::2], strict=True):
        index += (step >> 1) ^ -(step & 1)
        histogram[index] = count
    return histogram


@lru_cache(maxsize=8192)
def spread(low: float, high: float, count: int) -> tuple[tuple[int, int], ...]:
    """Share `count` requests between `low` (exclusive) and `high` seconds over our buckets, evenly by width."""
    first, last = index_of(max(low, 0.0)), index_of(high)
    width = high - low
    shares: list[tuple[int, int]] = []
    given = 0
    for index in range(first, last):
        reached = math.floor(count * ((_upper(index) - low) / width) + 0.5)
        if reached > given:
            shares.append((index, reached - given))
            given = reached
    if given < count:
        shares.append((last, count - given))
    return tuple(shares)


def from_explicit(
    bounds: Sequence[float], counts: Mapping[int, int], low: float | None = None, high: float | None = None
) -> Histogram:
    """Return our buckets for explicit ones: always an approximation.

    Args:
        bounds: Upper ends in seconds, rising; one bucket more than bounds exists.
        counts: Requests by bucket number; empty buckets may be absent.
        low: The shortest duration, where the source tells it: narrows the buckets it lies in.
        high: The longest duration, likewise; without it the open last bucket counts at its lower end.

    """
    histogram: Histogram = {}
    for bucket, count in counts.items():
        floor = bounds[bucket - 1] if bucket else 0.0
        ceiling = bounds[bucket] if bucket < len(bounds) else (high if high is not None and high > floor else floor)
        start = low if low is not None and floor < low <= ceiling else floor
        end = high if high is not None and start <= high < ceiling else ceiling
        merge(histogram, spread(start, end, count))
    return histogram


def from_exponential(
    scale: int, counts: Mapping[int, int], zero: int = 0, unit: float = 1.0, zero_to: float = 0.0
) -> Histogram:
    """Return our buckets for exponential ones of any scale in -10..20.

    Exact for sources in seconds whose scale is 4 or more, whose buckets lie inside ours; an approximation otherwise.

    Args:
        scale: The source's scale: its base is `2^(2^-scale)`.
        counts: Requests by the source's index.
        zero: Requests in the source's zero bucket.
        unit: Seconds in the source's unit.
        zero_to: Upper end of the zero bucket, in the source's unit.

    """
    histogram: Histogram = {}
    if zero:
        merge(histogram, ((ZERO, zero),) if is_tiny(zero_to * unit) else spread(0.0, zero_to * unit, zero))
    if unit == 1.0 and scale >= SCALE:
        shift = scale - SCALE
        merge(histogram, ((_clamp(index >> shift), count) for index, count in counts.items()))
        return histogram
    for index, count in counts.items():
        merge(histogram, spread(_power(index, scale) * unit, _power(index + 1, scale) * unit, count))
    return histogram


def _clamp(index: int) -> int:
    return ZERO if index < LOWEST else min(index, HIGHEST)


def _power(index: int, scale: int) -> float:
    """Return `base^index` for a scale, kept within what a float and our range can hold."""
    return float(2.0 ** max(-64.0, min(64.0, math.ldexp(index, -scale))))
