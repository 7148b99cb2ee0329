"""Changing accounts and users: new, edit, merge, erase."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import Form

from trackside.auth.login import actor
from trackside.customers import erase as erasing
from trackside.customers import merge as merging
from trackside.customers import queries, service
from trackside.customers.forms import EraseForm, filled, form_of, show_errors, values_of
from trackside.customers.kinds import Customer, Kind
from trackside.customers.queries import Filter
from trackside.customers.web.pages import LONGEST, one
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.text import whole_number
from trackside.web.current import current_runtime

CANDIDATES = 20


def new(kind: Kind[Any]) -> ResponseReturnValue:
    """Show an empty form."""
    return _form_page(kind, form_of(kind)())


def create(kind: Kind[Any]) -> ResponseReturnValue:
    """Make an account or user by hand."""
    form = form_of(kind)(only(kind, "external_id", *kind.fields, "attributes", "version"))
    now = current_runtime().clock.now()
    try:
        values = values_of(kind, form)
        row = service.create(db.session(), kind, actor(), form["external_id"].data or "", values, now=now)
        db.session().commit()
    except (InputError, Conflict) as error:
        return _again(kind, form, error)
    flash(f"{row.label} was created.", "success")
    return redirect(url_for(".show", row_id=row.id))


def edit(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Show the form with the values as they are."""
    row = service.get(db.session(), kind, row_id)
    service.must_be_alive(row)
    return _form_page(kind, filled(kind, row), row)


def save(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Save what was edited, unless someone else did meanwhile."""
    session = db.session()
    row = service.get(session, kind, row_id)
    form = form_of(kind)(only(kind, *kind.fields, "attributes", "version"))
    now = current_runtime().clock.now()
    try:
        values = values_of(kind, form)
        service.edit(session, row, actor(), values, now=now, version=_version(form))
        session.commit()
    except (InputError, Conflict) as error:
        return _again(kind, form, error, row_id)
    flash(f"{row.label} was saved.", "success")
    return redirect(url_for(".show", row_id=row.id))


def merge(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Choose what to merge into, then see what that does."""
    session = db.session()
    row = service.get(session, kind, row_id)
    service.must_be_alive(row)
    target = service.get(session, kind, _number(one("target"))) if one("target") else None
    preview = merging.preview(session, row, target) if target else None
    text = one("q").strip()[:LONGEST]
    found = queries.listed(session, kind, Filter(q=text), CANDIDATES + 1).rows if text and not target else []
    return render_template(
        "customers/merge.html",
        kind=kind,
        row=row,
        target=target,
        preview=preview,
        q=text,
        found=[each for each in found if each.id != row.id][:CANDIDATES],
    )


def merge_now(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Merge into the chosen one."""
    session = db.session()
    given = only(kind, "target")
    row = service.get(session, kind, row_id)
    target = service.get(session, kind, _number(given.get("target", "")))
    name = row.label
    merging.merge(session, row, target, actor(), now=current_runtime().clock.now())
    session.commit()
    flash(f"{name} was merged into {target.label}.", "success")
    return redirect(url_for(".show", row_id=target.id))


def erase(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Ask for the typed confirmation."""
    row = service.get(db.session(), kind, row_id)
    service.must_be_alive(row)
    return _erase_page(kind, row, EraseForm())


def erase_now(kind: Kind[Any], row_id: int) -> ResponseReturnValue:
    """Erase, when the id was typed."""
    session = db.session()
    form = EraseForm(only(kind, "confirm"))
    row = service.get(session, kind, row_id)
    service.must_be_alive(row)
    if (form.confirm.data or "").strip() != row.external_id:
        form.confirm.errors = [f"Type {row.external_id} exactly; nothing was erased."]
        return _erase_page(kind, row, form), 422
    erasing.erase(session, row, actor(), now=current_runtime().clock.now())
    session.commit()
    flash(f"The {kind.name} was erased.", "success")
    return redirect(url_for(".index"))


def only(kind: Kind[Any], *names: str) -> Any:
    """Return the posted form; raises InputError for a field that is not one of `names`: nothing else can be set."""
    unknown = sorted(set(request.form) - {*names, "csrf_token"})
    if unknown:
        raise InputError(f"No {kind.name} has {', '.join(unknown)[:LONGEST]}.", dict.fromkeys(unknown, "is unknown"))
    return request.form


def _form_page(kind: Kind[Any], form: Form, row: Customer | None = None) -> str:
    return render_template("customers/edit.html", kind=kind, form=form, row=row)


def _erase_page(kind: Kind[Any], row: Customer, form: Form) -> str:
    users = queries.user_counts(db.session(), [row.id]).get(row.id, 0) if kind.name == "account" else None
    return render_template("customers/erase.html", kind=kind, row=row, form=form, users=users)


def _again(kind: Kind[Any], form: Form, error: InputError | Conflict, row_id: int | None = None) -> ResponseReturnValue:
    """Show the form once more, with what was typed and what is wrong with it."""
    session = db.session()
    session.rollback()
    fields = error.fields if isinstance(error, InputError) else {}
    show_errors(form, fields, error.message)
    row = service.get(session, kind, row_id) if row_id is not None else None
    return _form_page(kind, form, row), error.status


def _version(form: Form) -> int:
    return _number(form["version"].data or "")


def _number(text: str) -> int:
    if (found := whole_number(text)) is None:
        raise InputError("A number is missing here, or is none: load the page again.")
    return found
