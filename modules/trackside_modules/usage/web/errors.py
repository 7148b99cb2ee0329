"""Errors: what fails, for whom, and since which version; and one group of failures with all that is known of it."""

from typing import Any

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.web.charts import Chart, Series
from trackside.web.current import current_runtime
from trackside.web.look import zone
from trackside.web.marks import marks
from trackside.web.policy import require
from trackside_modules.usage import queries
from trackside_modules.usage.reports import error_groups, failing
from trackside_modules.usage.reports.error_detail import Detail, detail
from trackside_modules.usage.reports.error_groups import Group, Wanted
from trackside_modules.usage.reports.failing import Failing
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters, choice, number, text
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.places import asked_place, cursor

GROUPS: export.Columns[Group] = (
    ("error", lambda it: it.error.error),
    ("message", lambda it: it.error.message),
    ("service", lambda it: it.error.service),
    ("method", lambda it: it.endpoint.method if it.endpoint else None),
    ("route", lambda it: it.endpoint.route if it.endpoint else None),
    ("status", lambda it: it.error.status or None),
    ("failures", lambda it: it.calls),
    ("users", lambda it: it.users),
    ("new", lambda it: it.is_new),
    ("since_version", lambda it: it.version),
    ("first_seen", lambda it: it.error.first_seen_at),
    ("last_seen", lambda it: it.error.last_seen_at),
)
FAILING: export.Columns[Failing] = (
    ("service", lambda it: it.endpoint.service),
    ("method", lambda it: it.endpoint.method),
    ("route", lambda it: it.endpoint.route),
    ("requests", lambda it: it.calls),
    ("server_errors", lambda it: it.of(5)),
    ("client_errors", lambda it: it.of(4)),
    ("statuses", lambda it: " ".join(f"{status}:{calls}" for status, calls in it.statuses.items())),
    ("users", lambda it: it.users),
)


@blueprint.get("/errors")
@require("usage.view")
def errors() -> ResponseReturnValue:
    """Show the endpoints that fail, and failures in groups."""
    session, asked = db.session(), ask_filters(default="24h")
    wanted, kind = _wanted(asked), export.asked()
    what = choice("what", ("groups", "endpoints"), "groups")
    if kind and what == "endpoints":
        return export.send("failing-endpoints", kind, FAILING, failing.failing(session, wanted, export.MOST))
    if kind:
        return export.send("errors", kind, GROUPS, error_groups.groups(session, wanted, limit=export.MOST)[0])
    after: Any = asked_place(2)
    groups, following = error_groups.groups(session, wanted, after)
    return render_template(
        "usage/errors.html",
        asked=asked,
        env=asked.env,
        wanted=wanted,
        groups=groups,
        cursor=cursor(following),
        failing=failing.failing(session, wanted),
        known=bool(groups) or error_groups.any_known(session, asked.env.id),
        has_usage=bool(asked.services) or queries.has_usage(session, asked.env.id),
        narrowed=bool(wanted.service or wanted.status or wanted.q or wanted.only_new or wanted.endpoint_id),
    )


@blueprint.get("/errors/<int:error_id>")
@require("usage.view")
def error(error_id: int) -> ResponseReturnValue:
    """Show one group of failures: its history, samples, users, accounts and versions."""
    runtime, session, asked = current_runtime(), db.session(), ask_filters(default="7d")
    span = asked.span
    found = detail(session, Wanted(asked.env.id, span), error_id) if error_id < 2**63 else None
    if found is None:
        raise NotFound("There is no such error in this environment: it was never seen, or is no longer kept.")
    changed = marks(runtime, session, asked.env.id, span.start, span.end)
    return render_template(
        "usage/error.html",
        asked=asked,
        env=asked.env,
        it=found,
        chart=_chart(found, asked, changed),
        back=url_for("usage.errors", **asked.kept),
    )


def _chart(found: Detail, asked: Asked, changed: Any) -> Chart:
    last = found.times[-1]
    return Chart(
        "Failures",
        "per " + {3600: "hour", 86_400: "day", 604_800: "week"}.get(int(found.step.total_seconds()), "2 hours"),
        found.times,
        [Series("failures", found.group.trend)],
        key="chart-failures",
        marks=changed,
        step=found.step,
        zone=zone(),
        unfinished=last + found.step > asked.span.now,
    )


def _wanted(asked: Asked) -> Wanted:
    status = request.args.get("status", "")
    if status and not (status in {"4", "5"} or (len(status) == 3 and status.isascii() and status.isdigit())):
        message = "must be 4 or 5, or one status such as 503"
        raise InputError(f"The filter `status` {message}.", {"status": message})
    return Wanted(
        asked.env.id,
        asked.span,
        asked.service,
        number("route"),
        status,
        text("q"),
        choice("new", ("", "1"), "") == "1",
        choice("sort", error_groups.ORDERS, "-calls"),
    )
