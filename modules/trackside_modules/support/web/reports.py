"""Reports: what comes, how soon it is answered and solved, how satisfied people are; the rows behind each number."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from flask import render_template, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import NotFound
from trackside.web.charts import Chart, Series
from trackside.web.current import current_runtime
from trackside.web.downloads import as_table, download
from trackside.web.environments import current_environment
from trackside.web.look import zone
from trackside.web.marks import marks
from trackside.web.policy import require
from trackside_modules.support import words
from trackside_modules.support.queries import reports as reading
from trackside_modules.support.queries.cells import gather
from trackside_modules.support.queries.measures import MEASURES, SHARES
from trackside_modules.support.queries.reports import MOST, ORDERS, PAGE, DayLine, Report, RowLine
from trackside_modules.support.service import metrics, rules
from trackside_modules.support.web.base import VIEW, blueprint
from trackside_modules.support.web.period import Period, ask_period, one_of, whole

WEEKS_FROM = 120
"""Days from which charts have weeks."""
_FORMATS = ("csv", "json")
ROW: Sequence[tuple[str, Callable[[RowLine], Any]]] = (
    ("interaction", lambda it: words.ref(it.number)),
    ("subject", lambda it: it.subject),
    ("status", lambda it: it.status),
    ("kind", lambda it: it.kind),
    ("topic", lambda it: it.topic or None),
    ("user_id", lambda it: it.user_id),
    ("account_id", lambda it: it.account_id),
    ("at", lambda it: it.at),
    ("value", lambda it: it.value),
)
FIGURE = ("figure", "period", "before", "p50", "p90", "unit", "definition")
RELATED = (
    ("volume", "contacts"),
    ("reopened", "solved"),
    ("repeated", "traceable"),
    ("missed", "kept", "promised"),
    ("rated", "satisfied", "asked"),
)
"""Figures that go together, of the same period by the same moment: from the rows of one to those of the others."""
UNITS = {"business": "seconds of business time", "elapsed": "seconds", "ms": "milliseconds", "score": "1 to 5"}


@blueprint.get("/reports")
@require(VIEW)
def reports() -> ResponseReturnValue:
    """Show all figures of a period beside those of the period before."""
    session, period = db.session(), ask_period()
    step = timedelta(days=7 if period.days > WEEKS_FROM else 1)
    days = reading.days_of(period.asked, period.zone_name, step)
    cells = gather(session, period.asked, days)
    found = reading.report(session, period.asked, cells)
    kind = one_of("format", _FORMATS)
    if kind:
        return download(f"trackside-support-report.{kind}", as_table(kind, FIGURE, _lines(found)))
    ruling, ages = rules.current(session), reading.backlog_ages(session, period.asked, cells)
    return render_template(
        "support/reports.html",
        period=period,
        report=found,
        measures=MEASURES,
        shares=SHARES,
        topics=reading.by_topic(session, period.asked, cells),
        ages=[(name, reading.AGES[name].title, count) for name, count in ages],
        charts=_charts(reading.by_day(session, period.asked, days, cells), period, step),
        rules=ruling,
        stale=metrics.stale(session, ruling),
    )


@blueprint.get("/reports/rows")
@require(VIEW)
def report_rows() -> ResponseReturnValue:
    """List the interactions behind a figure."""
    session, period = db.session(), ask_period()
    measure = MEASURES.get(one_of("of", MEASURES, "volume"))
    if measure is None:
        raise NotFound("There is no such figure.")
    age = one_of("age", reading.AGES) if measure.name == "backlog" else ""
    measure = reading.aged(age) if age else measure
    order = one_of("sort", ORDERS, "-at")
    kind, offset = one_of("format", _FORMATS), whole("cursor", 10**7) or 0
    limit = MOST if kind else PAGE
    lines, total = reading.rows(session, period.asked, measure, order, limit=limit, offset=0 if kind else offset)
    if kind:
        rows = ([value(each) for _, value in ROW] for each in lines)
        return download(f"trackside-support-{measure.name}.{kind}", as_table(kind, [name for name, _ in ROW], rows))
    following = offset + PAGE
    return render_template(
        "support/report_rows.html",
        period=period,
        measure=measure,
        related=[MEASURES[name] for names in RELATED if measure.name in names for name in names],
        rows=lines,
        total=total,
        sort=order,
        next=following if following < total else None,
        previous=max(0, offset - PAGE) if offset else None,
    )


@blueprint.app_template_global()
def report_rows_url(period: Period, of: str, **changes: Any) -> str:
    """Return the address of the rows behind a figure of `period`."""
    return url_for("support.report_rows", of=of, **period.kept | changes)


def _charts(days: Sequence[DayLine], period: Period, step: timedelta) -> list[Chart]:
    x = [datetime.combine(each.day, time(), zone()).astimezone(UTC) for each in days]
    asked, unit = period.asked, "per week" if step.days > 1 else "per day"
    changed = marks(current_runtime(), db.session(), current_environment().id, asked.start, asked.end)
    options: dict[str, Any] = {"marks": changed, "step": step, "zone": zone(), "unfinished": asked.end > asked.now}

    def url(of: str, at: datetime) -> str:
        first = at.astimezone(zone()).date()
        last = min(first + step - timedelta(days=1), period.last)
        return report_rows_url(
            period, of, range=None, **{"from": max(first, period.first).isoformat(), "to": last.isoformat()}
        )

    volume = [Series("began", [each.volume for each in days]), Series("solved", [each.solved for each in days])]
    hours = [
        Series(name, [None if value is None else round(value / 3600, 2) for value in values])
        for name, values in (
            ("p50", [each.first_reply_p50 for each in days]),
            ("p90", [each.first_reply_p90 for each in days]),
        )
    ]
    return [
        Chart("Interactions", unit, x, volume, key="chart-volume", url=partial(url, "volume"), **options),
        Chart(
            "First reply",
            "business hours",
            x,
            hours,
            key="chart-first-reply",
            url=partial(url, "first_reply"),
            **options,
        ),
    ]


def _lines(found: Report) -> Iterable[list[Any]]:
    rate = "Interactions that customers began in the period, for each 100 accounts that were active in it."
    yield ["contact_rate", found.contact_rate(), found.contact_rate(before=True), None, None, "per 100 accounts", rate]
    active = "Accounts seen calling the API by the period's end, and not for the last time before its beginning."
    yield ["active_accounts", found.accounts, found.accounts_before, None, None, "count", active]
    for share in SHARES.values():
        ratios = (found.share(share.name), found.share(share.name, before=True))
        yield [share.name, *ratios, None, None, "share", share.definition]
    for name, measure in MEASURES.items():
        now, before = found.now[name], found.before[name] if measure.at else None
        counts = (now.count, before.count if before else None)
        yield [name, *counts, now.p50, now.p90, UNITS.get(measure.unit, ""), measure.definition]
