"""Importing a file without a script: upload, choose what each column becomes, see what would happen, import."""

from datetime import timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import delete, select

from trackside.auth.login import actor
from trackside.customers import importing, sheets
from trackside.customers.forms import UploadForm
from trackside.customers.kinds import Kind
from trackside.customers.models import Upload
from trackside.customers.web.changes import only
from trackside.customers.web.pages import one
from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.web.current import current_runtime

KEPT = timedelta(days=1)
SAMPLE = 5


def upload(kind: Kind[Any]) -> ResponseReturnValue:
    """Ask for a file."""
    return render_template("customers/import.html", kind=kind, form=UploadForm())


def take(kind: Kind[Any]) -> ResponseReturnValue:
    """Keep the file for a day, and go on to its columns."""
    session = db.session()
    form = UploadForm()
    only(kind)
    file = request.files.get("file")
    now = current_runtime().clock.now()
    try:
        if file is None or not file.filename:
            raise InputError("Choose a CSV file first")
        text, encoding = sheets.decoded(file.read())
        sheets.parsed(text)
    except InputError as error:
        form.file.errors = [f"{error.message.rstrip('.')}."]
        return render_template("customers/import.html", kind=kind, form=form), 422
    session.execute(delete(Upload).where(Upload.created_at < now - KEPT))
    kept = Upload(
        kind=kind.name,
        filename=_harmless(file.filename),
        content=text,
        encoding=encoding,
        member_id=current_user.id,
        created_at=now,
    )
    session.add(kept)
    session.commit()
    return redirect(url_for(".preview", upload_id=kept.id))


def preview(kind: Kind[Any], upload_id: int) -> ResponseReturnValue:
    """Show the columns, the first rows, and what importing them would do."""
    kept = _mine(kind, upload_id)
    sheet = sheets.parsed(kept.content)
    guessed = importing.guess(kind, sheet.columns)
    given = [one(f"c{place}") if f"c{place}" in request.args else None for place in range(len(sheet.columns))]
    mapping = [guess if choice is None else choice for guess, choice in zip(guessed, given, strict=True)]
    outcome, problem = None, ""
    try:
        now = current_runtime().clock.now()
        outcome = importing.run(db.session(), kind, sheet, mapping, actor(), now=now, dry=True)
    except InputError as error:
        problem = error.message
    finally:
        db.session().rollback()
    return render_template(
        "customers/preview.html",
        kind=kind,
        upload=_mine(kind, upload_id),
        columns=list(enumerate(zip(sheet.columns, mapping, strict=True))),
        targets=importing.targets(kind),
        sample=[(number, _padded(cells, len(sheet.columns))) for number, cells in sheet.rows[:SAMPLE]],
        rows=len(sheet.rows),
        outcome=outcome,
        problem=problem,
        shown_errors=importing.SHOWN_ERRORS,
    )


def run(kind: Kind[Any], upload_id: int) -> ResponseReturnValue:
    """Check another choice of columns, or import."""
    session = db.session()
    kept = _mine(kind, upload_id)
    sheet = sheets.parsed(kept.content)
    names = [f"c{place}" for place in range(len(sheet.columns))]
    given = only(kind, "do", *names)
    mapping = {name: given.get(name, "") for name in names}
    if given.get("do") != "import":
        return redirect(url_for(".preview", upload_id=upload_id, **mapping))
    now = current_runtime().clock.now()
    outcome = importing.run(session, kind, sheet, list(mapping.values()), actor(), now=now)
    session.delete(kept)
    session.commit()
    left = f" {len(outcome.errors)} rows were left out." if outcome.errors else ""
    flash(
        f"{outcome.created:,} created, {outcome.updated:,} updated, {outcome.unchanged:,} unchanged.{left}",
        "warning" if left else "success",
    )
    return redirect(url_for(".index", source="import"))


def _mine(kind: Kind[Any], upload_id: int) -> Upload:
    """Return the file that this member uploaded."""
    mine = (Upload.id == upload_id, Upload.kind == kind.name, Upload.member_id == current_user.id)
    found = db.session().scalar(select(Upload).where(*mine)) if upload_id < 1 << 63 else None
    if found is None:
        raise NotFound("This file is gone: uploads are kept for a day, until they are imported. Upload it again.")
    return found


def _padded(cells: list[str], width: int) -> list[str]:
    return [*cells[:width], *[""] * (width - len(cells))]


def _harmless(filename: str) -> str:
    return "".join(letter for letter in filename if letter.isprintable())[:100] or "file.csv"
