"""The counted rows behind a number."""

from datetime import datetime

import msgspec
from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import InputError
from trackside.web.policy import require
from trackside_modules.usage import queries
from trackside_modules.usage.queries import Place, Scope
from trackside_modules.usage.web.asked import ask_filters, choice, number
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.window import Window


@blueprint.get("/rows")
@require("usage.view")
def rows() -> ResponseReturnValue:
    """Show the counted minutes behind a number."""
    session, asked = db.session(), ask_filters()
    env, span = asked.env, asked.span
    scope = Scope(env.id, asked.service, number("route"), number("user"), _status())
    start, end = span.start, span.end
    at = request.args.get("at")
    if at:
        start, end = _bucket(at, span)
    sort = choice("sort", queries.SORTS, queries.NEWEST)
    after = _place(request.args.get("cursor"))
    found, after = queries.minute_rows(session, scope, start, end, after=after, sort=sort)
    cursor = msgspec.json.encode(after).hex() if after else None
    return render_template(
        "usage/rows.html",
        asked=asked,
        env=env,
        scope=scope,
        at=at,
        start=start,
        rows=found,
        sort=sort,
        cursor=cursor,
        back=url_for("usage.overview", **asked.kept),
    )


def _status() -> str:
    raw = request.args.get("status", "")
    if raw not in ("", "4", "5"):
        raise InputError("The filter 'status' must be 4 or 5: the class of errors to show.")
    return raw


def _bucket(at: str, span: Window) -> tuple[datetime, datetime]:
    try:
        start = datetime.fromisoformat(at)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None or not 2000 <= start.year <= 2200:
        raise InputError("The time 'at' is not one: open the rows from a chart again.")
    return start, start + span.step


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
