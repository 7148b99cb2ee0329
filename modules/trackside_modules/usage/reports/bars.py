"""Stacked bars with what was lost below the line, as rectangles for an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

HEIGHT, STEP, WIDE = 100.0, 10, 7
"""Units of the drawing: its height, the distance of two bars, and the width of one."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The parts of a bar from the line upwards, and the one below it, each by name."""

    at: datetime
    up: Sequence[tuple[str, int]]
    down: tuple[str, int]
    url: str


@dataclass(frozen=True, slots=True)
class Rect:
    """A part of a bar."""

    name: str
    count: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A bar with its place, and its parts."""

    bar: Bar
    x: float
    parts: list[Rect]


@dataclass(frozen=True, slots=True)
class Bars:
    """All bars; the line between up and down is at `zero`."""

    width: int
    zero: float
    drawn: list[Drawn]
    top: int


def of(bars: Sequence[Bar]) -> Bars:
    """Return where each part of each bar is drawn."""
    top = max((sum(count for _, count in bar.up) for bar in bars), default=0)
    low = max((bar.down[1] for bar in bars), default=0)
    unit = HEIGHT / ((top + low) or 1)
    zero = top * unit
    return Bars(max(1, len(bars)) * STEP, zero, [_drawn(bar, place, zero, unit) for place, bar in enumerate(bars)], top)


def _drawn(bar: Bar, place: int, zero: float, unit: float) -> Drawn:
    parts, y = [], zero
    for name, count in bar.up:
        y -= count * unit
        parts.append(Rect(name, count, round(y, 3), round(count * unit, 3)))
    parts.append(Rect(bar.down[0], bar.down[1], round(zero, 3), round(bar.down[1] * unit, 3)))
    return Drawn(bar, place * STEP + (STEP - WIDE) / 2, [part for part in parts if part.count])
