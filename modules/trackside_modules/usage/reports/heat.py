"""A heat map of durations over time: how many calls of each bucket of time took how long."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from trackside.module import Mark
from trackside.web.format import ms, number
from trackside_modules.usage.queries.figures import Figures, quantiles_of
from trackside_modules.usage.queries.window import Window
from trackside_modules.usage.storage.histogram import HIGHEST, ZERO
from trackside_modules.usage.storage.packs import WIDTH, Ints

LEVELS = 8
_MOST_BANDS = 28


@dataclass(frozen=True, slots=True)
class Column:
    """A bucket of time."""

    at: datetime
    x: int
    words: str
    url: str
    calls: int
    quantiles: Sequence[float | None]
    """p50, p95 and p99 in milliseconds."""


@dataclass(frozen=True, slots=True)
class Heat:
    """The map as SVG paths on a grid of `width` x `height` cells; the fastest calls are in the lowest row."""

    width: int
    height: int
    levels: Sequence[tuple[int, str]]
    """Strength, 1 to 8, and the path of all cells that have it."""
    lines: Sequence[tuple[str, str]]
    """The name and path of each percentile."""
    columns: Sequence[Column]
    labels: Sequence[tuple[float, str]]
    """Share of the height from above, and the duration there."""
    marks: Sequence[tuple[float, Mark]]
    """Share of the width, and what changed there."""


def heat(
    found: Mapping[datetime, Figures], window: Window, marks: Sequence[Mark], url: Callable[[datetime], str]
) -> Heat | None:
    """Return the map of a window; None where nothing was measured."""
    times = window.times
    matrix = np.array([found[at].latency if at in found else np.zeros(WIDTH, dtype=np.int64) for at in times])
    used = np.flatnonzero(matrix.sum(axis=0))
    if not len(used):
        return None
    low, high = int(used[0]) + ZERO, int(used[-1]) + ZERO + 1
    size = next(size for size in (2, 4, 8, 16, 32) if (high - 1) // size - low // size < _MOST_BANDS)
    low, bands = low // size, (high - 1) // size - low // size + 1
    owners = (np.arange(ZERO, HIGHEST + 1) // size - low).clip(0, bands - 1)
    cells: Ints = np.zeros((len(times), bands), dtype=np.int64)
    np.add.at(cells.T, owners, matrix.T)
    shown = [found.get(at) for at in times]
    columns = [
        Column(at, place, _words(figures, each), url(at), figures.calls if figures else 0, each)
        for place, (at, figures, each) in enumerate(zip(times, shown, quantiles_of(shown), strict=True))
    ]
    span = window.end - window.start
    return Heat(
        len(times),
        bands,
        _levels(cells),
        [(f"p{name}", _line([it.quantiles[n] for it in columns], low, bands, size)) for n, name in ((0, 50), (1, 95))],
        columns,
        _labels(low, bands, size),
        [((mark.at - window.start) / span, mark) for mark in marks if window.start <= mark.at < window.end],
    )


def _words(figures: Figures | None, quantiles: Sequence[float | None]) -> str:
    if not figures:
        return "no requests"
    return f"{number(figures.calls)} requests, p50 {ms(quantiles[0])}, p95 {ms(quantiles[1])}"


def _levels(cells: Ints) -> list[tuple[int, str]]:
    """Return the cells by strength: the root of their count against the fullest one's, so that few are seen too."""
    bands = cells.shape[1]
    strength = np.ceil(np.sqrt(cells / cells.max()) * LEVELS).astype(int)
    paths = []
    for level in range(1, LEVELS + 1):
        there = zip(*np.nonzero(strength == level), strict=True)
        path = "".join(f"M{x} {bands - 1 - y}h1v1h-1z" for x, y in there)
        if path:
            paths.append((level, path))
    return paths


def _line(values: Sequence[float | None], low: int, bands: int, size: int) -> str:
    """Return a path through milliseconds on the logarithmic scale; a gap lifts the pen."""
    path, pen = "", "M"
    for place, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        index = np.log2(value / 1000) * 16 if value else ZERO
        y = min(max(bands - (index / size - low), 0), bands)
        path += f"{pen}{place + 0.5:g} {y:.3g}"
        pen = "L"
    return path


def _labels(low: int, bands: int, size: int) -> list[tuple[float, str]]:
    """Return durations at whole powers of ten of milliseconds (and threes where there is room)."""
    spots = [factor * 10.0**power for power in range(-2, 7) for factor in (1, 3)]
    found = [((bands - (np.log2(spot / 1000) * 16 / size - low)) / bands, spot) for spot in spots]
    inside = [(float(y), spot) for y, spot in found if 0.02 <= y <= 0.98]
    if len(inside) > 5:
        inside = [(y, spot) for y, spot in inside if f"{spot:.0e}".startswith("1")]
    return [(round(y, 3), ms(spot)) for y, spot in inside]
