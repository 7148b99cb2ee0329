"""How a range is cut: what is clean comes from the coarsest tier there is, and nothing is left out or read twice."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from trackside_modules.usage.storage.tiers import LENGTHS, Unit, _cut, _floor

BEGIN = datetime(2026, 2, 26, tzinfo=UTC)
minutes = st.integers(0, 5 * 24 * 60)
marks = st.sets(st.tuples(st.sampled_from(("hour", "day")), st.integers(0, 5 * 24)), max_size=6)


def at(minute: int) -> datetime:
    return BEGIN + timedelta(minutes=minute)


@given(minutes, minutes, st.sampled_from(("minute", "hour", "day")), marks)
@example(0, 0, "day", set())
def test_each_minute_is_read_once_from_the_coarsest_tier_that_is_clean(
    first: int, last: int, coarsest: Unit, marked: set[tuple[str, int]]
) -> None:
    start, end = at(min(first, last)), at(max(first, last) + 1)
    dirty = {(tier, _floor(BEGIN + timedelta(hours=hour), tier)) for tier, hour in marked}  # type: ignore[arg-type]
    parts = list(_cut(start, end, coarsest, dirty))
    assert [part.start for part in parts] == [start, *(part.end for part in parts)][: len(parts)]
    assert not parts or parts[-1].end == end
    for part in parts:
        assert part.start < part.end
        unit = part.start
        while unit < part.end:
            expected = next((tier for tier in _order(coarsest) if _whole(unit, start, end, tier, dirty)), "minute")
            assert part.unit == expected
            unit = min(part.end, unit + LENGTHS[part.unit] if part.unit != "minute" else _next_hour(unit))


def _order(coarsest: Unit) -> list[Unit]:
    found: list[Unit] = ["day", "hour"] if coarsest == "day" else ["hour"] if coarsest == "hour" else []
    return found


def _next_hour(moment: datetime) -> datetime:
    return _floor(moment, "hour") + timedelta(hours=1)


def _whole(moment: datetime, start: datetime, end: datetime, unit: Unit, dirty: set[tuple[str, datetime]]) -> bool:
    bucket = _floor(moment, unit)
    return bucket >= start and bucket + LENGTHS[unit] <= end and (unit, bucket) not in dirty


def test_a_year_of_clean_hours_is_one_piece() -> None:
    end = BEGIN + timedelta(days=365, minutes=90)
    assert [(part.unit, part.end) for part in _cut(BEGIN, end, "hour", set())] == [
        ("hour", end - timedelta(minutes=30)),
        ("minute", end),
    ]
