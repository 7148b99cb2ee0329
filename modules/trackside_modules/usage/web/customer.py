"""One user's or account's usage: what they call and since when, what fails for them, when they came."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from trackside.customers.models import UNKNOWN_USER, Account, User
from trackside.db import db
from trackside.errors import NotFound
from trackside.web.current import current_runtime
from trackside.web.look import zone
from trackside.web.marks import marks
from trackside.web.policy import require
from trackside_modules.usage.queries import customer as reading
from trackside_modules.usage.queries import people
from trackside_modules.usage.queries.figures import Figures, series, summed, total
from trackside_modules.usage.queries.people import Kind
from trackside_modules.usage.queries.scope import Scope, everyone, everyone_of
from trackside_modules.usage.queries.window import DAY, Window
from trackside_modules.usage.reports import lately
from trackside_modules.usage.reports.strip import strip
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.charts import Frame, errors_chart, latency_chart, rate_chart, rows_at

RANGE = "7d"
SHOWN, TURNS = 20, 10
_COLUMNS: export.Columns[reading.CalledRow] = (
    ("service", lambda row: row.endpoint.service),
    ("method", lambda row: row.endpoint.method),
    ("route", lambda row: row.endpoint.route),
    ("calls", lambda row: row.figures.calls),
    ("server_errors", lambda row: row.figures.server_errors),
    ("client_errors", lambda row: row.figures.client_errors),
    ("slow", lambda row: row.figures.slow),
    ("p50_ms", lambda row: row.quantiles[0]),
    ("p95_ms", lambda row: row.quantiles[1]),
    ("p99_ms", lambda row: row.quantiles[2]),
    ("since", lambda row: row.since),
)


@blueprint.get("/users/<int:user_id>")
@require("usage.view")
def user(user_id: int) -> ResponseReturnValue:
    """Show what one user calls; one that was merged leads to who remains."""
    return _page("user", User, user_id)


@blueprint.get("/accounts/<int:account_id>")
@require("usage.view")
def account(account_id: int) -> ResponseReturnValue:
    """Show what the users of one account call."""
    return _page("account", Account, account_id)


def _page(kind: Kind, model: type[User] | type[Account], row_id: int) -> ResponseReturnValue:
    session, asked = db.session(), ask_filters(RANGE)
    who: Any = session.get(model, row_id) if row_id < 1 << 63 else None
    if who is None:
        raise NotFound(f"There is no {kind} of this number: look for them in the list.")
    if who.merged_into is not None and who.erased_at is None:
        return redirect(url_for(f".{kind}", **{f"{kind}_id": who.merged_into}, **asked.kept))
    scope = Scope(asked.env.id, asked.service, **{f"{kind}_id": who.id}).known(session)
    calls = reading.calls(session, scope, asked.span)
    if form := export.asked():
        return export.send(f"{kind}-{who.id}", form, _COLUMNS, calls.called)
    return render_template("usage/customer.html", **_content(session, asked, kind, who, scope), calls=calls)


def _content(session: Session, asked: Asked, kind: Kind, who: Any, scope: Scope) -> dict[str, Any]:
    """Return what the page shows besides the endpoints."""
    span = asked.span
    found = series(session, scope, span)
    ghost, before = _before(session, scope, span.previous()) if asked.compare else ({}, Figures())
    changed = marks(current_runtime(), session, asked.env.id, span.start, span.end)
    frame = Frame(span, changed, zone(), rows_at(**{kind: who.id}, **asked.kept))
    whole = replace(scope, service="")
    users = people.crowd(session, scope, span) if kind == "account" else None
    return {
        "asked": asked,
        "kind": kind,
        "who": who,
        "label": "Unknown users" if kind == "user" and who.id == UNKNOWN_USER else who.label,
        "unknown": kind == "user" and who.id == UNKNOWN_USER,
        "figures": total(found),
        "before": before,
        "charts": [rate_chart(found, ghost, frame), errors_chart(found, frame), latency_chart(found, frame)],
        "strip": strip(reading.days(session, whole, span.now), span.now),
        "shown": SHOWN,
        "most_turns": TURNS,
        "errors": lately.last_errors(
            session, asked.env.id, everyone(who.id) if kind == "user" else everyone_of(who.id)
        ),
        "users": _busiest(session, users) if users else [],
        "crowd": users,
    }


def _before(session: Session, scope: Scope, window: Window) -> tuple[dict[datetime, Figures], Figures]:
    """Return the buckets of the period before, and their sum: where they are days, it is read from the same rows."""
    whole = window.step >= DAY
    ghost = series(session, scope, window, latency=whole)
    return ghost, total(ghost) if whole else summed(session, scope, window)


def _busiest(session: Session, them: people.Crowd) -> list[dict[str, Any]]:
    """Return the account's ten users with the most calls."""
    places = (-them.column("calls")).argsort(kind="stable")[:10].tolist()
    known = people.known_users(session, [int(them.ids[place]) for place in places])
    return [{"who": known[int(them.ids[place])], **them.row(place)} for place in places]
