"""Time charts as data: a figure's title and unit, its series, and the table that says the same.

    Chart("Requests", "per minute", x=minutes, series=[Series("requests", counts)], previous=Series("day before", old))

A page hands a Chart to `ui.chart`, which writes a real table; static/js/charts.js draws it. A None is a gap, and stays
one. Marks (`trackside.module.Mark`) are what changed meanwhile: every chart draws them the same way.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

from markupsafe import Markup, escape

from trackside.module import Mark
from trackside.web.format import ABSENT, MONTHS, bytes_, compact, ms, number, short_time

Kind = Literal["line", "area", "bar", "ghost"]
LABELLED = 3
"""Up to so many series are named at the end of their line; more get a legend."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve: a name and a value for each x; None where nothing was measured."""

    name: str
    values: Sequence[float | None]
    kind: Kind = "line"
    """An `area` only for shares of a whole, a `bar` for counts of days or longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What most charts leave as it is."""

    previous: Series | None = None
    """The period before on the same x, drawn as a thin ghost."""
    marks: Sequence[Mark] = ()
    step: timedelta | None = None
    """The distance between two x; by default what most neighbours have."""
    zone: tzinfo = UTC
    """Whose midnight and hours the axis shows: the member's (`look.zone()`)."""
    url: Callable[[datetime], str] | None = None
    """Where the rows behind a point are; a click opens it."""
    top: float | None = None
    """The end of the y axis where it is known, e.g. 100 for a share."""
    unfinished: bool = False
    """Whether the last x is still going on: its stretch of the line is dashed, and said to be so far."""


@dataclass(frozen=True, slots=True)
class Chart(_Options):
    """A time chart and its table. Raises ValueError where a series and x differ in length."""

    title: str
    unit: str
    """Said beside the title. `ms`, `%` and `bytes` are also written so in cells and on the axis."""
    x: Sequence[datetime]
    """Starts of the buckets, aware, ascending."""
    series: Sequence[Series]
    key: str = field(default="", kw_only=True)
    """The figure's id; needed where a live page swaps its numbers."""

    def __post_init__(self) -> None:
        for each in self.columns:
            if len(each.values) != len(self.x):
                raise ValueError(f"{self.title}: {each.name!r} has {len(each.values)} values for {len(self.x)} times")

    @property
    def columns(self) -> list[Series]:
        """The series in the table's order; the ghost of the previous period last."""
        if self.previous is None:
            return list(self.series)
        return [*self.series, Series(self.previous.name, self.previous.values, "ghost")]

    @property
    def legend(self) -> bool:
        """Whether the series are too many to be named at their lines."""
        return len(self.series) > LABELLED

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(_known(value) for each in self.series for value in each.values)

    @property
    def step_ms(self) -> int:
        """The distance between two x in milliseconds, 0 where there are fewer than two."""
        if self.step is not None:
            return round(self.step.total_seconds() * 1000)
        gaps = [round((b - a).total_seconds() * 1000) for a, b in zip(self.x, self.x[1:], strict=False)]
        return max(set(gaps), key=gaps.count) if gaps else 0

    @property
    def zone_name(self) -> str:
        """The zone as browsers call it."""
        return getattr(self.zone, "key", None) or "UTC"

    def labels(self) -> list[str]:
        """Return each x in the member's zone, in words."""
        days = self.step_ms >= 86_400_000
        found = [_label(at, self.zone, days) for at in self.x]
        if self.unfinished and found:
            found[-1] += ", so far"
        return found

    def body(self) -> Markup:
        """Return the table's rows, oldest first: a time, and the values, exact for the chart and readable for people.

        Written here, since a page has a thousand of these cells and a template takes three times as long for each.
        """
        columns = [[_cell(value, self.unit) for value in each.values] for each in self.columns]
        rows = []
        for at, label, cells in zip(self.x, self.labels(), zip(*columns, strict=True), strict=True):
            time = f'<time datetime="{at.isoformat()}">{label}</time>'
            if self.url:
                time = f'<a href="{escape(self.url(at))}">{time}</a>'
            rows.append(f'<tr><th scope="row">{time}</th>{"".join(cells)}</tr>\n')
        return Markup("".join(rows))  # noqa: S704 - the address is escaped, the rest are numbers and times

    def write(self, value: float | None) -> str:
        """Return `value` in this chart's unit."""
        return _write(value, self.unit)

    def summary(self) -> str:
        """Return the chart in a sentence, for who hears it rather than sees it."""
        if self.is_empty:
            return f"{self.title}: nothing measured in this period."
        parts = []
        for each in self.series:
            known = [value for value in each.values if _known(value) and value is not None]
            if known:
                low, high = self.write(min(known)), self.write(max(known))
                parts.append(f"{each.name} last {self.write(known[-1])}, lowest {low}, highest {high}")
        ends = [short_time(at, self.x[-1] + timedelta(days=370), self.zone) for at in (self.x[0], self.x[-1])]
        if ends[0] == ends[1] or self.step_ms < 86_400_000:
            ends = [f"{at.astimezone(self.zone):%d %b %H:%M}" for at in (self.x[0], self.x[-1])]
        return f"{self.title} ({self.unit}), {ends[0]} to {ends[1]}: {'; '.join(parts)}."


_WRITTEN: dict[str, Callable[[float | None], str]] = {"ms": ms, "bytes": bytes_}


# What is written of a number or a time is the same on the next page, and in the other charts of this one.
@lru_cache(maxsize=1 << 14)
def _cell(value: float | None, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return f'<td class="num" data-v="">{ABSENT}</td>'
    return f'<td class="num" data-v="{value:.12g}">{_write(value, unit)}</td>'


def _write(value: float | None, unit: str) -> str:
    if unit == "%":
        return f"{number(value)}%" if _known(value) else ABSENT
    return _WRITTEN.get(unit, number)(value)


@lru_cache(maxsize=1 << 12)
def _label(at: datetime, zone: tzinfo, day: bool) -> str:
    at = at.astimezone(zone)
    return f"{at.day} {MONTHS[at.month]} " + (f"{at.year}" if day else f"{at.hour:02}:{at.minute:02}")


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def sparkline(values: Sequence[float | None], width: int = 88, height: int = 20) -> str:
    """Return an SVG path through `values`, from zero up; a gap lifts the pen.

    >>> sparkline([0, 2, None, 1], 30, 10)
    'M0 10L10 0M30 5'
    """
    return _drawn(tuple(values), width, height)


@lru_cache(maxsize=1 << 10)
def _drawn(values: tuple[float | None, ...], width: int, height: int) -> str:
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(0, *known, 0), max(0, *known, 0)
    span = (high - low) or 1
    path, pen = [], "M"
    for x, value in zip(_evenly(len(values), width), values, strict=True):
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        path.append(f"{pen}{x} {height - (value - low) / span * height:.4g}")
        pen = "L"
    return "".join(path)


@lru_cache(maxsize=64)
def _evenly(count: int, width: int) -> list[str]:
    """Return so many places from 0 to `width`: a column of sparklines has the same ones in each row."""
    step = width / max(count - 1, 1)
    return [f"{place * step:.4g}" for place in range(count)]


def sparkline_words(values: Sequence[float | None]) -> str:
    """Return what a sparkline shows, in words."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "nothing yet"
    return f"last {compact(known[-1])}, highest {compact(max(known))}"
