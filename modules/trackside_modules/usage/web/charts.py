"""The time charts that several pages of usage draw alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from typing import Any

from flask import url_for

from trackside.module import Mark
from trackside.web.charts import Chart, Series
from trackside_modules.usage.queries.figures import Figures, quantiles_of, total
from trackside_modules.usage.queries.window import Window
from trackside_modules.usage.reports.overview import percent, rates

_MOST = 6
"""Series of a chart: as many as there are colours."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all charts of a page share."""

    window: Window
    marks: Sequence[Mark]
    zone: tzinfo
    url: Callable[[datetime], str] | None = None

    def chart(self, title: str, unit: str, *series: Series, previous: Series | None = None) -> Chart:
        """Return a chart of the window's buckets."""
        times = self.window.times
        return Chart(
            title,
            unit,
            times,
            series,
            key=f"chart-{title.lower().replace(' ', '-')}",
            previous=previous,
            marks=self.marks,
            step=self.window.step,
            zone=self.zone,
            url=self.url,
            unfinished=self.window.elapsed(times[-1]) < self.window.step,
        )


def rows_at(**kept: Any) -> Callable[[datetime], str]:
    """Return the link from a bucket of a chart to the rows behind it."""
    where = url_for("usage.rows", **kept)
    # each chart of a page asks for the same buckets
    return cache(lambda at: f"{where}&at={at.isoformat().replace(':', '%3A').replace('+', '%2B')}")


def rate_chart(found: Mapping[datetime, Figures], before: Mapping[datetime, Figures], frame: Frame) -> Chart:
    """Return the requests per minute, the period before as a ghost."""
    ghost = rates(before, frame.window.previous())
    previous = Series("before", ghost) if any(ghost) else None
    return frame.chart("Requests", "per minute", Series("now", rates(found, frame.window)), previous=previous)


def errors_chart(found: Mapping[datetime, Figures], frame: Frame) -> Chart:
    """Return the shares of calls that failed and that were refused."""
    shown = [found.get(at) for at in frame.window.times]
    return frame.chart(
        "Errors",
        "%",
        Series("5xx", percent([it.error_rate if it else None for it in shown])),
        Series("4xx", percent([it.client_error_rate if it else None for it in shown])),
    )


def latency_chart(found: Mapping[datetime, Figures], frame: Frame) -> Chart:
    """Return the percentiles of the durations."""
    shown = quantiles_of([found.get(at) for at in frame.window.times])
    return frame.chart(
        "Latency", "ms", *(Series(f"p{name}", [it[n] for it in shown]) for n, name in enumerate((50, 95, 99)))
    )


def status_chart(found: Mapping[int, Mapping[datetime, Figures]], frame: Frame) -> Chart:
    """Return the calls per minute of each status; past the six most frequent, the rest together."""
    order = sorted(found, key=lambda status: -total(found[status]).calls)
    most = order if len(order) <= _MOST else order[: _MOST - 1]
    series = [Series(str(status or "none"), rates(found[status], frame.window, always=True)) for status in most]
    if len(order) > len(most):
        rest: dict[datetime, Figures] = {}
        for status in order[len(most) :]:
            for at, figures in found[status].items():
                rest.setdefault(at, Figures()).add(figures)
        series.append(Series("others", rates(rest, frame.window, always=True)))
    return frame.chart("Statuses", "per minute", *series)
