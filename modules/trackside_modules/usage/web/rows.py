"""The counted rows behind a number."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.db import db
from trackside.errors import InputError
from trackside.web.policy import require
from trackside_modules.usage.models import UsageEndpoint
from trackside_modules.usage.queries.horizon import finest_step
from trackside_modules.usage.queries.rows import NEWEST, SORTS, CountedRow, Place, counted_rows
from trackside_modules.usage.queries.scope import Scope
from trackside_modules.usage.queries.window import HOUR, MINUTE, Window
from trackside_modules.usage.storage import tiers
from trackside_modules.usage.storage.tiers import Unit, unit_for
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters, choice, number
from trackside_modules.usage.web.base import blueprint

UNITS: dict[str, str] = {"minute": "Minutes", "hour": "Hours", "day": "Days"}
_COLUMNS: export.Columns[CountedRow] = (
    ("at", lambda row: row.at),
    ("counted_by", lambda row: row.unit),
    ("service", lambda row: row.endpoint.service),
    ("method", lambda row: row.endpoint.method),
    ("route", lambda row: row.endpoint.route),
    ("user", lambda row: row.user.external_id),
    ("status", lambda row: row.status),
    ("calls", lambda row: row.calls),
    ("mean_ms", lambda row: row.mean_ms),
    ("longest_ms", lambda row: row.longest / 1000),
    ("slow", lambda row: row.slow),
    ("approximate", lambda row: row.approximate),
)


@blueprint.get("/rows")
@require("usage.view")
def rows() -> ResponseReturnValue:
    """Show the counted minutes, hours or days behind a number."""
    session, asked, form = db.session(), ask_filters(), export.asked()
    scope = Scope(asked.env.id, asked.service, number("route"), number("user"), _status(), number("account"))
    start, end = asked.span.start, asked.span.until
    at = request.args.get("at")
    if at:
        start, end = _bucket(at, asked.span)
    finest = unit_for(finest_step(session, start))
    by = _unit(asked, end - start, finest, sort := choice("sort", SORTS, NEWEST))
    spans = tiers.parts(session, asked.env.id, start, end, by) if start < end else []
    after = _place(request.args.get("cursor"))
    found, after = counted_rows(session, scope, spans, after=after, sort=sort, limit=export.MOST if form else 50)
    if form:
        return export.send("rows", form, _COLUMNS, found)
    return render_template(
        "usage/rows.html",
        asked=asked,
        chips=_chips(session, scope),
        at=at,
        start=start,
        rows=found,
        sort=sort,
        by=by,
        units=[pair for pair in UNITS.items() if tiers.LENGTHS[pair[0]] >= tiers.LENGTHS[finest]],  # type: ignore[index]
        cursor=msgspec.json.encode(after).hex() if after else None,
        back=url_for("usage.overview", **asked.kept),
    )


def _unit(asked: Asked, length: timedelta, finest: Unit, sort: str) -> Unit:
    """Return what rows are counted by: as asked, else the finest that is kept and that a page can sort at once."""
    given = choice("by", tuple(UNITS), "") if request.args.get("by") else ""
    longest = HOUR if sort != NEWEST else 6 * HOUR
    by: Any = given or ("minute" if length <= longest else asked.span.unit)
    if not given and sort != NEWEST and length > 24 * HOUR:
        by = "day"
    return max(by, finest, key=lambda unit: tiers.LENGTHS[unit])


def _chips(session: Session, scope: Scope) -> list[tuple[str, str, str | None]]:
    """Return the filters that are on, in words."""
    endpoint = session.get(UsageEndpoint, scope.endpoint_id) if scope.endpoint_id is not None else None
    user = session.get(User, scope.user_id) if scope.user_id is not None else None
    account = session.get(Account, scope.account_id) if scope.account_id is not None else None
    status = scope.status + "xx" if len(scope.status) == 1 else scope.status
    return [
        ("route", "Endpoint", f"{endpoint.method} {endpoint.route}" if endpoint else _known(scope.endpoint_id)),
        ("user", "User", (user.label or "unknown") if user else _known(scope.user_id)),
        ("account", "Account", account.label if account else _known(scope.account_id)),
        ("status", "Status", status),
    ]


def _known(number: int | None) -> str | None:
    return None if number is None else str(number)


def _status() -> str:
    raw = request.args.get("status", "")
    if raw in ("", "4", "5") or (raw.isascii() and raw.isdigit() and (raw == "0" or 100 <= int(raw) <= 999)):
        return "000" if raw == "0" else raw
    message = "must be 4 or 5, for a class of errors, or a whole status such as 404"
    raise InputError(f"The filter 'status' {message}.", {"status": message})


def _bucket(at: str, span: Window) -> tuple[datetime, datetime]:
    try:
        start = datetime.fromisoformat(at)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None or not 2000 <= start.year <= 2200:
        raise InputError("The time 'at' is not one: open the rows from a chart again.")
    return start, start + max(span.step, MINUTE)


class _Cursor(msgspec.Struct, array_like=True):
    minute: datetime
    endpoint_id: int
    user_id: int
    status: int
    rank: int


def _place(cursor: str | None) -> Place | None:
    """Return where a page goes on; raise InputError for a cursor that is not one of ours."""
    if not cursor:
        return None
    try:
        found = msgspec.json.decode(bytes.fromhex(cursor), type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InputError("This page's cursor is not valid: start from the first page.") from error
    numbers = (found.endpoint_id, found.user_id, found.rank)
    whole = all(0 <= part < 2**63 for part in numbers) and 0 <= found.status < 1000
    if not whole or found.minute.tzinfo is None or not 2000 <= found.minute.year <= 2200:
        raise InputError("This page's cursor is not valid: start from the first page.")
    return found.minute, found.endpoint_id, found.user_id, found.status, found.rank
