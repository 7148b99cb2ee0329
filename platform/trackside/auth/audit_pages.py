"""The audit log: a page with filters in the URL, and an export."""

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from itsdangerous import BadData, URLSafeSerializer

from trackside.auth import login
from trackside.auth.audit import audit
from trackside.auth.audit_queries import AuditFilter, actions, day, entries, every_entry
from trackside.auth.models import AuditEntry
from trackside.csv_lines import line
from trackside.db import db
from trackside.errors import InputError
from trackside.runtime import Runtime
from trackside.web.current import current_runtime
from trackside.web.downloads import download
from trackside.web.environments import all_environments
from trackside.web.policy import require

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
ROWS = 50
COLUMNS = ("at", "actor", "action", "object_kind", "object_id", "object_name", "environment", "changes", "address")


@blueprint.get("")
@require("audit.view")
def index() -> ResponseReturnValue:
    """Show the entries that the filters choose, the newest first."""
    wanted = _filter()
    found = entries(db.session(), wanted, ROWS + 1, _before())
    shown, more = found[:ROWS], len(found) > ROWS
    return render_template(
        "auth/audit.html",
        wanted=wanted,
        entries=shown,
        actions=actions(db.session()),
        next=_cursors().dumps(shown[-1].id) if more else None,
        environments=_environments(),
        words=in_words,
    )


@blueprint.get("/export.csv")
@require("audit.view")
def export() -> ResponseReturnValue:
    """Send every entry that the filters choose as CSV; that this was done is an entry itself."""
    wanted, names = _filter(), _environments()
    audit(db.session(), login.actor(), "audit.exported", "audit", "log", at=current_runtime().clock.now())
    db.session.commit()
    return download("trackside-audit.csv", _lines(current_runtime(), wanted, names))


def in_words(changes: dict[str, Any]) -> list[tuple[str, str]]:
    """Return changes as (field, what happened) pairs: `("role", "viewer to admin")`."""
    return [(field.replace("_", " "), _change(value)) for field, value in changes.items()]


def _change(value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        return f"{_plain(value[0])} → {_plain(value[1])}"
    return _plain(value)


def _plain(value: Any) -> str:
    if value in (None, "", []):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _filter() -> AuditFilter:
    given = {name: _argument(name) for name in ("who", "action", "object_kind", "object_id")}
    return AuditFilter(**given, since=day(_argument("since"), "since"), until=day(_argument("until"), "until"))


def _argument(name: str) -> str:
    values = request.args.getlist(name)
    if len(values) > 1 or any("\x00" in value or len(value) > 200 for value in values):
        raise InputError(f"{name}: one plain value, please.", {name: "One plain value, please."})
    return values[0].strip() if values else ""


def _before() -> int | None:
    cursor = _argument("cursor")
    try:
        return int(_cursors().loads(cursor)) if cursor else None
    except BadData:
        problem = "This cursor is not one of this list: start again without it."
        raise InputError(problem, {"cursor": problem}) from None


def _cursors() -> URLSafeSerializer:
    return URLSafeSerializer(current_runtime().settings.secret_key, salt="audit.cursor")


def _environments() -> dict[int, str]:
    return {env.id: env.slug for env in all_environments()}


def _lines(home: Runtime, wanted: AuditFilter, environments: dict[int, str]) -> Iterator[str]:
    """Yield the CSV, with a session of its own: the request's is given back before the last line is sent."""
    yield line(COLUMNS)
    with home.database.session() as session:
        for each in every_entry(session, wanted):
            yield line(_cells(each, environments))


def _cells(each: AuditEntry, environments: dict[int, str]) -> list[str]:
    changes = msgspec.json.encode(each.changes).decode() if each.changes else ""
    place = environments.get(each.env_id or 0, "")
    what = (each.action, each.object_kind, each.object_id, each.object_name)
    return [each.at.isoformat(), each.actor, *what, place, changes, each.address or ""]
