"""Time charts and the tables they are drawn from."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from trackside.module import Mark
from trackside.web.charts import Chart, Series, sparkline

START = datetime(2026, 6, 15, 12, tzinfo=UTC)
measured = st.floats(min_value=-1e9, max_value=1e9) | st.sampled_from([float("nan"), float("inf")])
values = st.lists(st.none() | measured, max_size=50)


def minutes(count: int) -> list[datetime]:
    """Return so many minutes from START."""
    return [START + timedelta(minutes=place) for place in range(count)]


def drawn(app: Flask, chart: Chart) -> str:
    """Return the figure of `chart`."""
    with app.test_request_context("/"):
        return str(app.jinja_env.from_string("{{ ui.chart(chart) }}").render(chart=chart))


def test_a_series_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="'requests' has 2 values for 3 times"):
        Chart("Requests", "per minute", x=minutes(3), series=[Series("requests", [1, 2])])


def test_a_gap_stays_a_gap() -> None:
    chart = Chart("Requests", "per minute", x=minutes(3), series=[Series("requests", [1, None, 0])])
    cells = re.findall(r'<td class="num" data-v="(.*?)">(.*?)</td>', chart.body())
    assert cells == [("1", "1"), ("", "–"), ("0", "0")]  # noqa: RUF001


def test_the_period_before_is_the_last_column() -> None:
    previous = Series("day before", [3, 4])
    chart = Chart("Requests", "per minute", x=minutes(2), series=[Series("requests", [1, 2])], previous=previous)
    assert [(each.name, each.kind) for each in chart.columns] == [("requests", "line"), ("day before", "ghost")]


def test_the_table_is_in_the_members_zone() -> None:
    chart = Chart("R", "ms", x=minutes(1), series=[Series("p95", [1.5])], zone=ZoneInfo("Europe/Berlin"))
    assert chart.zone_name == "Europe/Berlin"
    assert chart.labels() == ["15 Jun 14:00"]


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [("ms", 1240.0, "1.24 s"), ("%", 0.5, "0.5%"), ("bytes", 1500.0, "1.5 kB"), ("per minute", 1200.0, "1,200")],
)
def test_values_are_written_in_their_unit(unit: str, value: float, text: str) -> None:
    assert Chart("A", unit, x=minutes(1), series=[Series("a", [value])]).write(value) == text


def test_a_chart_can_be_heard() -> None:
    chart = Chart("Requests", "per minute", x=minutes(3), series=[Series("requests", [4, None, 9])])
    words = "Requests (per minute), 15 Jun 12:00 to 15 Jun 12:02: requests last 9, lowest 4, highest 9."
    assert chart.summary() == words


def test_an_empty_chart_says_so(app: Flask) -> None:
    html = drawn(app, Chart("Requests", "per minute", x=(), series=[Series("requests", ())]))
    assert "Nothing measured in this period" in html


def test_a_figure_holds_the_exact_numbers_and_marks(app: Flask) -> None:
    chart = Chart(
        "Requests",
        "per minute",
        x=minutes(2),
        series=[Series("<b>requests</b>", [1.23456789, 2])],
        marks=[Mark(START, "flag", "new-export <on>", "/flags/1"), Mark(START, "unheard-of", "Something", None)],
        url=lambda at: f"/rows?at={at:%H%M}&b=1",
    )
    html = drawn(app, chart)
    assert 'data-v="1.23456789"' in html
    assert '<a href="/rows?at=1200&amp;b=1">' in html
    assert "&lt;b&gt;requests&lt;/b&gt;" in html
    assert "new-export &lt;on&gt;" in html
    assert re.findall(r"icons.svg#(mark-\w+)", html) == ["mark-flag", "mark-note"]


@given(values)
def test_a_sparkline_is_a_path_inside_its_box(given_values: list[float | None]) -> None:
    path = sparkline(given_values, 88, 20)
    assert re.fullmatch(r"([ML][-\d.e]+ [-\d.e]+)*", path)
    for place in re.findall(r"[ML]([-\d.e]+) ([-\d.e]+)", path):
        assert -0.01 <= float(place[0]) <= 88.1
        assert -0.01 <= float(place[1]) <= 20.1


def test_a_gap_lifts_the_pen_of_a_sparkline() -> None:
    assert sparkline([1, 1, None, 1, 1]).count("M") == 2
