"""Numbers, durations and times as pages write them."""

import doctest
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.web import charts
from trackside.web import format as fmt

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
numbers = st.floats(min_value=-1e15, max_value=1e15) | st.integers(min_value=-(10**15), max_value=10**15)


@pytest.mark.parametrize("module", [fmt, charts])
def test_the_examples_in_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(numbers)
def test_every_number_has_a_short_form(value: float) -> None:
    for write in (fmt.number, fmt.compact, fmt.percent, fmt.ms, fmt.seconds, fmt.bytes_):
        text = write(value)
        assert text
        assert "e+" not in text or abs(value) > 1e15


@pytest.mark.parametrize("write", [fmt.number, fmt.compact, fmt.percent, fmt.ms, fmt.seconds, fmt.bytes_])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_was_not_measured_is_a_dash_and_never_a_zero(write: object, value: float | None) -> None:
    assert write(value) == fmt.ABSENT  # type: ignore[operator]


@given(st.floats(min_value=1e-12, max_value=1))
def test_what_is_above_nothing_never_reads_zero_per_cent(ratio: float) -> None:
    assert fmt.percent(ratio) != "0%"


@pytest.mark.parametrize(
    ("value", "text"),
    [(999.4, "999 ms"), (999.6, "1 s"), (59_940, "59.9 s"), (59_960, "1 min"), (3_599_700, "1 h"), (0, "0 ms")],
)
def test_a_duration_moves_to_the_next_unit_before_it_would_round_there(value: float, text: str) -> None:
    assert fmt.ms(value) == text


@pytest.mark.parametrize(("value", "text"), [(999_949, "1M"), (999_400, "999k"), (1_000, "1k"), (999.6, "1k")])
def test_a_count_moves_to_the_next_unit_before_it_would_round_there(value: float, text: str) -> None:
    assert fmt.compact(value) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=-3), "in a moment"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=61), "1 h ago"),
        (timedelta(days=29), "29 d ago"),
        (timedelta(days=-2), "in 2 d"),
        (timedelta(days=45), "1 May 2026"),
    ],
)
def test_times_are_told_from_now(away: timedelta, text: str) -> None:
    assert fmt.relative(NOON - away, NOON) == text


def test_the_exact_time_is_in_the_members_zone() -> None:
    tag = fmt.time_tag(NOON, "12:00", ZoneInfo("Asia/Kathmandu"))
    assert tag == '<time datetime="2026-06-15T12:00:00Z" title="15 Jun 2026, 17:45:00 +0545">12:00</time>'


def test_a_zone_that_does_not_exist_is_utc() -> None:
    assert fmt.zone_called("Mars/Olympus") is UTC
    assert fmt.zone_called("../../etc/passwd") is UTC


@pytest.mark.parametrize(
    ("current", "previous", "expected"),
    [
        (112, 100, ("up", "12%")),
        (99.96, 100, ("flat", "0%")),
        (5, 0, ("new", "new")),
        (700_000, 200, ("up", "over 999%")),
        (0, 5, ("down", "100%")),
    ],
)
def test_a_figure_tells_its_change(current: float, previous: float, expected: tuple[str, str]) -> None:
    change = fmt.delta(current, previous)
    assert change is not None
    assert (change.direction, change.text) == expected


def test_a_rate_changes_by_points_even_from_nothing() -> None:
    change = fmt.delta(0.0042, 0.0, points=True)
    assert change is not None
    assert (change.direction, change.text) == ("up", "0.42 pp")


def test_nothing_to_compare_is_no_change() -> None:
    assert fmt.delta(None, 3) is None
    assert fmt.delta(3, None) is None
    assert fmt.delta(0, 0) is None


@given(st.text())
def test_everyone_has_initials(name: str) -> None:
    assert 1 <= len(fmt.initials(name)) <= 6  # one letter in capitals can be several


@given(st.text())
def test_an_attribute_cannot_break_out_of_its_quotes(value: str) -> None:
    written = str(fmt.attrs({"title": value}))
    assert written.count('"') == 2
    assert "<" not in written
