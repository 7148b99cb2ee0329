"""The latency histogram: error, merging, packing, and other people's buckets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_modules.usage.storage import histogram as h

ERROR = (2 ** (1 / 16) - 1) / (2 ** (1 / 16) + 1)
durations = st.floats(min_value=10.1e-6, max_value=3600.0)
histograms = st.dictionaries(st.integers(h.ZERO, h.HIGHEST), st.integers(1, 2**40), max_size=60)


@given(durations)
def test_an_estimate_is_within_the_promised_error(seconds: float) -> None:
    assert abs(h.estimate(h.index_of(seconds)) - seconds) <= (ERROR + 1e-9) * seconds


@pytest.mark.parametrize("exponent", range(-16, 12))
def test_a_power_of_two_is_the_upper_end_of_its_bucket(exponent: int) -> None:
    value = 2.0**exponent
    assert h.index_of(value) == exponent * 16 - 1
    assert h.index_of(math.nextafter(value, math.inf) * (1 + 1e-12)) == exponent * 16


def test_the_range_is_ten_microseconds_to_an_hour_in_456_buckets() -> None:
    assert h.HIGHEST - h.LOWEST + 1 == 456
    assert h.index_of(0.0) == h.index_of(1e-9) == h.ZERO
    assert h.index_of(3600.0) == h.index_of(1e9) == h.index_of(math.inf) == h.HIGHEST
    assert len(h.upper_bounds()) == 457


@given(histograms)
def test_packing_and_unpacking_gives_the_same_back(histogram: dict[int, int]) -> None:
    assert h.unpack(h.pack(histogram)) == histogram


def test_a_typical_minute_packs_into_a_dozen_bytes() -> None:
    assert len(h.pack({h.index_of(0.1 * 1.03**step): 3 for step in range(6)})) <= 14


@pytest.mark.parametrize("broken", [b"\x80", b"\x01", b"\x01\x02\x03"])
def test_bytes_that_end_early_are_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="ends in the middle"):
        h.unpack(broken)


@given(histograms, histograms, histograms)
def test_merging_commutes_and_associates(a: dict[int, int], b: dict[int, int], c: dict[int, int]) -> None:
    left = h.merge(h.merge(dict(a), b), c)
    assert left == h.merge(h.merge(dict(c), a), b)
    assert sum(left.values()) == sum(a.values()) + sum(b.values()) + sum(c.values())


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_the_error_of_the_exact_one(values: list[float], quantile: float) -> None:
    exact = sorted(values)[max(1, math.ceil(quantile * len(values))) - 1]
    histogram: dict[int, int] = {}
    for value in values:
        h.merge(histogram, {h.index_of(value): 1})
    [found] = h.percentiles(histogram, quantile)
    assert found is not None
    assert abs(found - exact) <= (ERROR + 1e-9) * exact


def test_nothing_counted_has_no_percentile() -> None:
    assert h.percentiles({}, 0.5, 0.99) == [None, None]


@given(st.integers(4, 20), st.lists(durations, min_size=1, max_size=50))
def test_a_finer_scale_is_reduced_exactly(scale: int, values: list[float]) -> None:
    fine: dict[int, int] = {}
    ours: dict[int, int] = {}
    for value in values:
        index = math.ceil(math.log2(value) * 2**scale) - 1
        h.merge(fine, {index: 1})
        h.merge(ours, {index >> (scale - 4): 1})
    assert h.from_exponential(scale, fine) == ours


@given(st.integers(-10, 3), st.dictionaries(st.integers(-40, 40), st.integers(1, 10_000), max_size=20))
def test_a_coarser_scale_keeps_every_count_inside_its_own_bucket(scale: int, counts: dict[int, int]) -> None:
    ours = h.from_exponential(scale, counts, zero=7)
    assert sum(ours.values()) == sum(counts.values()) + 7
    for index in ours:
        if h.ZERO < index < h.HIGHEST:
            assert (index >> (4 - scale)) in counts


def test_milliseconds_are_brought_to_seconds() -> None:
    scale = 8
    index = math.ceil(math.log2(250.0) * 2**scale) - 1
    [found] = h.percentiles(h.from_exponential(scale, {index: 10}, unit=0.001), 0.5)
    assert found == pytest.approx(0.25, rel=0.045)


bounds = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=15, unique=True).map(sorted)


@given(bounds, st.data())
def test_explicit_buckets_lose_no_count(edges: list[float], data: st.DataObject) -> None:
    counts = data.draw(st.dictionaries(st.integers(0, len(edges)), st.integers(1, 10**12), max_size=8))
    low, high = data.draw(st.tuples(st.none() | st.floats(0, 50), st.none() | st.floats(50, 1e6)))
    assert sum(h.from_explicit(edges, counts, low, high).values()) == sum(counts.values())


def test_a_lone_request_in_a_bucket_lands_in_its_middle() -> None:
    assert h.spread(0.0, 0.010, 1) == ((h.index_of(0.005), 1),)


def test_the_longest_duration_bounds_the_open_bucket() -> None:
    ours = h.from_explicit([1.0], {1: 1000}, high=3.0)
    assert min(ours) >= h.index_of(1.0)
    assert max(ours) == h.index_of(3.0)
    assert h.from_explicit([1.0], {1: 5}) == {h.index_of(1.0): 5}


def test_a_wide_zero_bucket_is_spread_up_to_its_threshold() -> None:
    assert h.from_exponential(4, {}, zero=5, zero_to=1e-6) == {h.ZERO: 5}
    found = h.from_exponential(4, {}, zero=1000, zero_to=1.0)
    assert sum(found.values()) == 1000
    [median] = h.percentiles(found, 0.5)
    assert median == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("scale", range(-10, 21))
def test_every_scale_keeps_every_count(scale: int) -> None:
    counts = dict.fromkeys((-(2**31), -5, -1, 0, 1, 7, 2**31 - 1), 3)
    found = h.from_exponential(scale, counts, zero=2)
    assert sum(found.values()) == 3 * len(counts) + 2
    assert all(h.ZERO <= index <= h.HIGHEST for index in found)
