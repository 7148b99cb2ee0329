"""Pages of usage: the Overview, and the rows behind its numbers."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.ask import ask
from trackside.db import db
from trackside.errors import InputError
from trackside.runtime import Runtime
from trackside.stream.ticket import stream_url
from trackside.web.checklist import checklist
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.look import zone
from trackside.web.marks import marks
from trackside.web.policy import allowed, require
from trackside_modules.usage import queries
from trackside_modules.usage.overview import overview as load_overview
from trackside_modules.usage.queries import Place, Scope
from trackside_modules.usage.window import DEFAULT, RANGES, Window, window

blueprint = Blueprint("usage", __name__, url_prefix="/usage", template_folder="templates")


def _window() -> Window:
    """Return the range in the URL; raise InputError, naming those there are, for one that does not exist."""
    name = request.args.get("range", DEFAULT)
    if name not in RANGES:
        raise InputError(f"There is no range {name[:20]!r}: choose one of {', '.join(RANGES)}.")
    return window(name, current_runtime().clock.now())


@blueprint.get("/")
@require("usage.view")
def overview() -> ResponseReturnValue:
    """Show what the API's users do, now and over a range."""
    runtime, session, env = current_runtime(), db.session(), current_environment()
    span, service = _window(), request.args.get("service", "")
    names = queries.services(session, env.id)
    where = url_for("usage.rows", env=env.slug, range=span.name, service=service or None)
    shown: dict[str, Any] = {
        "env": env,
        "service": service,
        "services": names,
        "span": span,
        "ranges": [(name, label) for name, (label, _, _) in RANGES.items()],
        "stream": stream_url(runtime.settings, "usage", env.id),
        "live_src": url_for("usage.overview", env=env.slug, service=service or None, range=span.name),
    }
    if names or queries.has_usage(session, env.id):
        changed = marks(runtime, session, env.id, span.start, span.end)
        shown["it"] = load_overview(
            runtime,
            session,
            Scope(env.id, service),
            span,
            changed,
            zone=zone(),
            url=lambda at: f"{where}&at={quote(at.isoformat())}",
        )
    else:
        shown["it"] = None
    if "HX-Request" in request.headers:
        return render_template("usage/_overview.html", **shown)
    shown |= {"steps": checklist(), "panels": _panels(runtime, env.id), "base_url": runtime.settings.base_url}
    return render_template("usage/overview.html", **shown)


def _panels(runtime: Runtime, env_id: int) -> list[tuple[str, str, Any]]:
    """Return title, template and content of what other modules add to the page."""
    found: list[tuple[str, str, Any]] = []
    wanted = [panel for panel in runtime.registry.each(lambda m: m.panels) if allowed(panel.permission)]
    for panel in sorted(wanted, key=lambda each: each.order):
        content = ask(panel.load, runtime, db.session(), env_id, otherwise=None)
        if content is not None:
            found.append((panel.title, panel.template, content))
    return found


@blueprint.get("/rows")
@require("usage.view")
def rows() -> ResponseReturnValue:
    """Show the counted minutes behind a number."""
    session, env, span = db.session(), current_environment(), _window()
    scope = Scope(
        env.id,
        request.args.get("service", ""),
        _number("route"),
        _number("user"),
        _status(),
    )
    start, end = span.start, span.end
    at = request.args.get("at")
    if at:
        start, end = _bucket(at, span)
    sort = request.args.get("sort") or queries.NEWEST
    if sort not in queries.SORTS:
        raise InputError(f"Rows cannot be sorted by {sort[:20]!r}: choose one of {', '.join(queries.SORTS)}.")
    after = _place(request.args.get("cursor"))
    found, after = queries.minute_rows(session, scope, start, end, after=after, sort=sort)
    cursor = msgspec.json.encode(after).hex() if after else None
    return render_template(
        "usage/rows.html",
        env=env,
        span=span,
        ranges=[(name, label) for name, (label, _, _) in RANGES.items()],
        scope=scope,
        at=at,
        start=start,
        rows=found,
        sort=sort,
        cursor=cursor,
        back=url_for("usage.overview", env=env.slug, range=span.name, service=scope.service or None),
    )


def _number(name: str) -> int | None:
    raw = request.args.get(name, "")
    if not raw:
        return None
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 18):
        raise InputError(f"The filter {name!r} must be a number.")
    return int(raw)


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
