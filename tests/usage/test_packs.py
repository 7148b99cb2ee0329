"""Histograms by the thousand: the same as one at a time."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackside_modules.usage.storage import packs
from trackside_modules.usage.storage.histogram import HIGHEST, ZERO, Histogram, merge, pack, percentiles, unpack

histograms = st.dictionaries(st.integers(ZERO, HIGHEST), st.integers(1, 2**40), max_size=12)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # slow on a busy machine only
@given(st.lists(st.tuples(histograms, st.integers(0, 3), st.integers(0, 9)), max_size=20))
def test_a_matrix_holds_what_merging_one_by_one_gives(them: list[tuple[Histogram, int, int]]) -> None:
    merged: list[Histogram] = [{}, {}, {}, {}]
    for histogram, group, times in them:
        merge(merged[group], histogram, times)
    counts = packs.matrix(
        [pack(it) for it, _, _ in them], [group for _, group, _ in them], 4, [times for _, _, times in them]
    )
    kept = [{index: count for index, count in it.items() if count} for it in merged]
    assert [unpack(row) for row in packs.pack_rows(counts)] == kept
    assert packs.pack_rows(counts) == [pack(it) for it in kept]
    assert packs.quantiles(counts, 0.5, 0.95, 1.0) == [percentiles(it, 0.5, 0.95, 1.0) for it in kept]


@pytest.mark.parametrize("broken", [b"\x80", b"\x01", b"\x02\x02\x04", b"\xfe\xff\x03\x01"])
def test_what_is_no_histogram_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="packed histogram"):
        packs.matrix([pack({3: 1}), broken], [0, 0], 1)
