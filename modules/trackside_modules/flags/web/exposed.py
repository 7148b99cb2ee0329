"""Who was given what: the exposures of a flag over time, with its changes marked."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from flask import url_for

from trackside.db import db
from trackside.module import Mark
from trackside.web.charts import Chart, Series
from trackside_modules.flags.exposures import queries
from trackside_modules.flags.queries import history
from trackside_modules.flags.web.base import Page

DAYS = 30


@dataclass(frozen=True, slots=True)
class Exposed:
    """What came of a flag in an environment."""

    evaluations: Chart
    users: dict[str, int]
    """How many were ever given each variant."""
    last: datetime | None
    total: int
    """Evaluations in the chart's days."""


def exposed(page: Page) -> Exposed:
    """Return the evaluations of the last 30 days by variant, and who was given what."""
    session, today = db.session(), page.now.astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    found = queries.by_day(session, page.env.id, page.flag.id, days[0], days[-1])
    names = [*page.flag.variants, *sorted({each.variant for each in found} - set(page.flag.variants))]
    counts = {(each.day, each.variant): each.evaluations for each in found}
    seen = {each.variant for each in found}
    x = [datetime.combine(day, time(), UTC) for day in days]
    chart = Chart(
        "Evaluations",
        "per day",
        x=x,
        series=[Series(name, [counts.get((day, name), 0) for day in days]) for name in names if name in seen],
        marks=marks(page, x[0], page.now),
        step=timedelta(days=1),
        zone=UTC,
        unfinished=True,
    )
    last = queries.last_evaluated(session, page.env.id, [page.flag.id]).get((page.env.id, page.flag.id))
    users = queries.users(session, page.env.id, page.flag.id)
    return Exposed(chart, users, last, sum(each.evaluations for each in found))


def marks(page: Page, start: datetime, end: datetime) -> list[Mark]:
    """Return what changed in the flag itself in `[start, end)`."""
    changes = history.between(db.session(), page.env.id, start, end)
    return [
        Mark(each.at, "flag", f"{each.what}{': ' + each.reason if each.reason else ''}", _url(page, each.id))
        for each in changes
        if each.flag_id == page.flag.id
    ]


def _url(page: Page, change_id: int) -> str:
    return url_for("flags.history", flag_id=page.flag.id, _anchor=f"change-{change_id}")
