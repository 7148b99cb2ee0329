"""Text from outside."""

import pytest

from trackside.text import whole_number


@pytest.mark.parametrize("raw", ["", "-1", "+1", "1.0", " 1", "1_000", "x", "٣", "²", "1" * 19, "0" * 5000])
def test_what_is_no_whole_number_of_some_digits_is_none(raw: str) -> None:
    assert whole_number(raw) is None


def test_a_whole_number_has_as_many_digits_as_are_asked_for() -> None:
    assert (whole_number("0"), whole_number("9" * 18), whole_number("0042", digits=4)) == (0, 10**18 - 1, 42)
    assert whole_number("00042", digits=4) is None
