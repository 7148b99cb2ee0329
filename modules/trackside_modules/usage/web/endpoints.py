"""Endpoints: the table of all, and a page for each."""

from dataclasses import dataclass
from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from trackside.db import db
from trackside.errors import NotFound
from trackside.web.current import current_runtime
from trackside.web.look import zone
from trackside.web.marks import marks
from trackside.web.policy import require
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries import endpoints as reading
from trackside_modules.usage.queries import people
from trackside_modules.usage.queries.endpoints import EndpointRow
from trackside_modules.usage.queries.figures import Figures, series, total
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.reports.heat import heat
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters, choice, skip, text
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.charts import Frame, errors_chart, rate_chart, rows_at, status_chart

PAGE = 50
RANGE = "24h"
_SORTS = tuple(sign + name for name in reading.SORTS for sign in ("", "-"))
AFFECTED = {"calls": "Requests", "errors": "Failed", "refused": "Refused", "slow": "Slow"}
_COLUMNS: export.Columns[EndpointRow] = (
    ("service", lambda row: row.endpoint.service),
    ("method", lambda row: row.endpoint.method),
    ("route", lambda row: row.endpoint.route),
    ("calls", lambda row: row.figures.calls),
    ("calls_before", lambda row: row.before),
    ("users", lambda row: row.users),
    ("server_errors", lambda row: row.figures.server_errors),
    ("client_errors", lambda row: row.figures.client_errors),
    ("slow", lambda row: row.figures.slow),
    ("p50_ms", lambda row: row.quantiles[0]),
    ("p95_ms", lambda row: row.quantiles[1]),
    ("p99_ms", lambda row: row.quantiles[2]),
    ("approximate", lambda row: row.figures.approximate),
    ("first_seen", lambda row: row.endpoint.first_seen_at),
)


@blueprint.get("/endpoints")
@require("usage.view")
def endpoints() -> ResponseReturnValue:
    """List the endpoints that were called."""
    session, asked = db.session(), ask_filters(RANGE)
    q, sort, start, kind = text("q"), choice("sort", _SORTS, "-calls"), skip(), export.asked()
    scope = Scope(asked.env.id, asked.service)
    found = reading.listed(session, scope, asked.span, compare=asked.compare, q=q)
    if kind or sort.endswith("users"):
        reading.add_users(session, scope, asked.span, found)
    found = reading.ordered(found, sort)
    if kind:
        return export.send("endpoints", kind, _COLUMNS, found)
    page = found[start : start + PAGE]
    if not sort.endswith("users"):
        reading.add_users(session, scope, asked.span, page)
    reading.add_trend(session, scope, asked.span, page)
    return render_template(
        "usage/endpoints.html",
        asked=asked,
        q=q,
        sort=sort,
        rows=page,
        found=len(found),
        start=start,
        next=start + PAGE if len(found) > start + PAGE else None,
        calls=sum(row.figures.calls for row in found),
        approximate=any(row.figures.approximate for row in page),
    )


@blueprint.get("/endpoints/<int:endpoint_id>")
@require("usage.view")
def endpoint(endpoint_id: int) -> ResponseReturnValue:
    """Show one endpoint: its figures, how long its calls take, what it answers, and whom it serves."""
    session, asked = db.session(), ask_filters(RANGE)
    one = _one(session, asked, endpoint_id)
    by = choice("by", ("", *AFFECTED), "")
    scope, span = Scope(asked.env.id, endpoint_id=one.id), asked.span
    by_status = reading.statuses(session, scope, span)
    found: dict[Any, Figures] = {}
    for buckets in by_status.values():
        for at, figures in buckets.items():
            found.setdefault(at, Figures()).add(figures)
    earlier = series(session, scope, span.previous()) if asked.compare else {}
    now, before = total(found), total(earlier)
    by = by or ("errors" if now.server_errors else "calls")
    users = people.crowd(session, scope, span)
    changed = marks(current_runtime(), session, asked.env.id, span.start, span.end)
    link = rows_at(route=one.id, **asked.kept)
    frame = Frame(span, changed, zone(), link)
    shown = {
        "asked": asked,
        "endpoint": one,
        "figures": now,
        "before": before,
        "heat": heat(found, span, changed, link),
        "charts": [
            rate_chart(found, earlier, frame),
            errors_chart(found, frame),
            status_chart(by_status, frame),
        ],
        "statuses": _statuses(by_status, asked),
        "by": by,
        "choices": list(AFFECTED.items()),
        "users": _most(session, users, by),
        "accounts": _most(session, people.accounts_of(session, users), by, "account"),
        "crowd": users,
        "link": link,
    }
    return render_template("usage/endpoint.html", **shown)


def _one(session: Session, asked: Asked, endpoint_id: int) -> UsageEndpoint:
    found = session.get(UsageEndpoint, endpoint_id) if endpoint_id < 1 << 63 else None
    if found is None or found.env_id != asked.env.id:
        raise NotFound(f"{asked.env.name} has no endpoint of this number: look for it under Endpoints.")
    return found


@dataclass(frozen=True, slots=True)
class _Status:
    status: int
    figures: Figures
    share: float
    trend: list[float | None]


def _statuses(found: dict[int, dict[Any, Figures]], asked: Asked) -> list[_Status]:
    """Return a row for each status, the most frequent first."""
    sums = {status: total(buckets) for status, buckets in found.items()}
    calls = sum(each.calls for each in sums.values())
    times = [at for at in asked.span.times if at <= asked.span.now]
    rows = [
        _Status(
            status,
            figures,
            figures.calls / calls,
            [float(found[status][at].calls) if at in found[status] else 0.0 for at in times],
        )
        for status, figures in sums.items()
    ]
    return sorted(rows, key=lambda row: -row.figures.calls)


def _most(session: Session, them: people.Crowd, by: str, kind: people.Kind = "user") -> list[dict[str, Any]]:
    """Return the ten with the most of something, with their names; nobody who has none of it."""
    column = {"calls": "calls", "errors": "server_errors", "refused": "client_errors", "slow": "slow"}[by]
    values = them.column(column)
    places = [place for place in (-values).argsort(kind="stable")[:10].tolist() if values[place]]
    ids = [int(them.ids[place]) for place in places]
    known: dict[int, Any] = dict(
        people.known_users(session, ids) if kind == "user" else people.known_accounts(session, ids)
    )
    return [{"who": known[id_], **them.row(place)} for id_, place in zip(ids, places, strict=True) if id_ in known]
