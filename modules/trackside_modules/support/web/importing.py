"""Bringing in what was logged elsewhere: upload a file, choose its columns, see what would become of it, do it."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError, TooLarge, Unavailable
from trackside.web.current import current_runtime
from trackside.web.downloads import download
from trackside.web.policy import require
from trackside_modules.support.importing import reading, sheet
from trackside_modules.support.models import Import
from trackside_modules.support.service import upload_files, uploads
from trackside_modules.support.web import clock_forms
from trackside_modules.support.web.base import MANAGE, blueprint, now, whole

PAGE = 100
LABELS = {
    "external_ref": "Its id",
    "subject": "Subject",
    "body": "First message",
    "reply": "First reply",
    "note": "Note",
    "user": "User (id)",
    "email": "E-mail address",
    "account": "Account (id)",
    "kind": "Kind",
    "topic": "Topic",
    "channel": "Channel",
    "direction": "Direction",
    "status": "Status",
    "priority": "Priority",
    "assignee": "Assignee (e-mail)",
    "tags": "Tags",
    "occurred_at": "Time it began",
    "first_reply_at": "Time of the first reply",
    "solved_at": "Time it was solved",
    "csat": "Rating",
}
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@blueprint.url_value_preprocessor
def take_exports(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Let a file be as large as one may be, before anything reads the form."""
    if endpoint == "support.take_import":
        request.max_content_length = uploads.MOST_BYTES + (1 << 16)


@blueprint.get("/settings/import")
@require(MANAGE)
def imports() -> ResponseReturnValue:
    """Ask for a file, and list what was brought in."""
    return _imports()


@blueprint.post("/settings/import")
@require(MANAGE)
def take_import() -> ResponseReturnValue:
    """Keep a file, and go on to its columns."""
    file, session = request.files.get("file"), db.session()
    try:
        if file is None or not file.filename:
            raise InputError("Choose a file first.")
        row = uploads.keep(session, _folder(), file.stream, file.filename, who=actor(), now=now())  # type: ignore[arg-type]
    except (InputError, TooLarge, Unavailable) as error:
        session.rollback()
        return _imports(error.message), error.status
    session.commit()
    return redirect(url_for("support.show_import", import_id=row.id))


@blueprint.get("/settings/import/<int:import_id>")
@require(MANAGE)
def show_import(import_id: int) -> ResponseReturnValue:
    """Show a file's columns and first rows, how far it is, or what became of it."""
    return _page(import_id)


@blueprint.post("/settings/import/<int:import_id>")
@require(MANAGE)
def run_import(import_id: int) -> ResponseReturnValue:
    """Take another choice of columns; try it, or bring it in."""
    session, form = db.session(), request.form
    row = uploads.get(session, import_id)
    try:
        if row.state in (uploads.NEW, uploads.TRIED, uploads.FAILED):
            _choose(row, form)
        if form.get("do") in ("try", "import"):
            uploads.begin(session, _folder(), row, dry=form["do"] == "try")
    except (InputError, Conflict) as error:
        session.rollback()
        return _page(import_id, error.message, form), error.status
    session.commit()
    return redirect(url_for("support.show_import", import_id=import_id))


@blueprint.get("/settings/import/<int:import_id>/left-out.csv")
@require(MANAGE)
def left_out(import_id: int) -> ResponseReturnValue:
    """Send what was left out, with why: to be mended, and brought in again."""
    session = db.session()
    row = uploads.get(session, import_id)
    return download(f"left-out-{row.id}.csv", uploads.mending(session, _folder(), row))


def _imports(problem: str = "") -> str:
    latest = uploads.latest(db.session())
    most = {"bytes": uploads.MOST_BYTES, "rows": reading.MOST_ROWS}
    return render_template("support/imports.html", latest=latest, problem=problem, most=most)


def _page(import_id: int, problem: str = "", form: MultiDict[str, str] | None = None) -> str:
    session = db.session()
    row = uploads.get(session, import_id)
    running, stopped = row.state == uploads.RUNNING, uploads.stopped(session, row)
    after = whole(request.args.get("after", ""), "after") or 0
    refused = list(uploads.left_out(session, import_id, after=after, most=PAGE + 1))
    shown: dict[str, Any] = {
        "row": row,
        "problem": problem,
        "running": running and not stopped,
        "stopped": stopped,
        "open": row.state in (uploads.NEW, uploads.TRIED, uploads.FAILED) or bool(stopped),
        "before": uploads.remembered(session, row) if row.state == uploads.NEW else None,
        "refused": refused[:PAGE],
        "following": refused[PAGE - 1].line if len(refused) > PAGE else None,
        "form_name": reading.FORMS[row.form],
        "parted": DELIMITERS.get(row.delimiter, ""),
        "told": partial(_told, dict(zip(row.fields, row.columns, strict=True))),
    }
    if "HX-Request" in request.headers:
        return render_template("support/_import_live.html", polled=True, **shown)
    if shown["open"] and not row.removed_at:
        shown |= _preview(row, form)
    return render_template("support/import.html", **shown)


def _told(columns: Mapping[str, str], problem: str) -> str:
    """Return why a row was left out by the name that the file has for the column, not by the field's."""
    field, colon, why = problem.partition(": ")
    return f"{columns[field]}{colon}{why}" if colon and columns.get(field) else problem


def _preview(row: Import, form: MultiDict[str, str] | None) -> dict[str, Any]:
    """Return what the first rows would become; nothing of it is kept."""
    session, problem = db.session(), ""
    if form is not None:
        with suppress(InputError):  # it was told already
            _choose(row, form)
    columns, fields = list(row.columns), list(row.fields)
    chosen = {"source": row.source, "dates": row.dates, "zone": row.zone}
    try:
        seen = uploads.preview(session, _folder(), row, who=actor(), now=now())
    except InputError as error:
        seen, problem = [], error.message
    finally:
        session.rollback()
    choices = [("", "Leave out"), *((each, LABELS[each]) for each in sheet.FIELDS)]
    return {
        "columns": list(enumerate(zip(columns, fields, strict=True))),
        "choices": choices,
        "orders": uploads.ORDERS.items(),
        "zones": clock_forms.zones(),
        **chosen,
        "seen": seen,
        "told": partial(_told, dict(zip(fields, columns, strict=True))),
        "unfit": problem,
    }


def _choose(row: Import, form: MultiDict[str, str]) -> None:
    fields = [form.get(f"c{place}", row.fields[place]) for place in range(len(row.columns))]
    given = {name: form.get(name, getattr(row, name)) for name in ("source", "zone")}
    uploads.choose(row, fields=fields, order=form.get("dates", row.dates), **given)


def _folder() -> Any:
    return upload_files.folder_of(current_runtime().settings)
