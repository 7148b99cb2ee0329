"""Settings of macros: the list in its order, one's own and shared ones, each tried on a real interaction."""

from collections.abc import Callable

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import BooleanField, Form, HiddenField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Optional

from trackside.customers.models import Account, User
from trackside.db import db
from trackside.errors import Conflict, InputError, NotAllowed
from trackside.web.policy import allowed, require
from trackside_modules.support import macros as filling
from trackside_modules.support import words
from trackside_modules.support.markdown import render
from trackside_modules.support.models import Interaction, Macro
from trackside_modules.support.queries.topics import paths, tree
from trackside_modules.support.service import macros as service
from trackside_modules.support.service.macros import Wanted
from trackside_modules.support.web.base import MANAGE, VIEW, WORK, blueprint, how, whole

NONE, SENDER = "none", "sender"


class MacroForm(Form):
    """A reply, and what is done with it."""

    version = HiddenField()
    name = StringField("Name")
    body = TextAreaField("Reply", validators=[Optional()], description="Markdown; what stands in {{ }} is filled in.")
    status = SelectField("Status", validate_choice=False)
    priority = SelectField("Priority", validate_choice=False)
    topic = SelectField("Topic", validate_choice=False)
    assignee = SelectField("Assignee", validate_choice=False)
    tags = StringField("Tags to add", validators=[Optional()], description="Words with a space between.")
    remove_tags = StringField("Tags to remove", validators=[Optional()], description="Words with a space between.")
    shared = BooleanField("For everybody", description="Otherwise you alone have it.")
    on = StringField("Try it on", validators=[Optional()], description="An interaction such as SUP-12.")


@blueprint.get("/settings/macros")
@require(VIEW)
def macros() -> ResponseReturnValue:
    """List the macros that the member may use, in their order, and those that are put away."""
    session = db.session()
    every = service.seen_by(session, current_user.id, archived=True)
    offered = [each for each in every if each.archived_at is None]
    away = [each for each in every if each.archived_at is not None]
    return render_template("support/macros.html", macros=offered, away=away, paths=paths(session), may=_may)


@blueprint.get("/settings/macros/new")
@require(WORK)
def new_macro() -> ResponseReturnValue:
    """Show the form of a new macro."""
    return _page(MacroForm(), None)


@blueprint.get("/settings/macros/<int:macro_id>")
@require(VIEW)
def macro(macro_id: int) -> ResponseReturnValue:
    """Show a macro's form, filled in for the newest interaction."""
    found = _macro(macro_id)
    acts = found.acts
    data = {name: acts.get(name, "") for name in ("status", "priority")}
    data |= {"name": found.name, "body": found.body, "version": str(found.version)}
    cleared = acts.get("clear", ())
    data |= {"topic": NONE if "topic" in cleared else str(acts.get("topic_id") or "")}
    data |= {"assignee": NONE if "assignee" in cleared else SENDER if acts.get("take") else ""}
    data |= {"tags": " ".join(acts.get("add_tags", ())), "remove_tags": " ".join(acts.get("remove_tags", ()))}
    return _page(MacroForm(data=data | {"shared": found.member_id is None}), found)


@blueprint.post("/settings/macros/new", endpoint="add_macro")
@blueprint.post("/settings/macros/<int:macro_id>")
@require(WORK)
def save_macro(macro_id: int = 0) -> ResponseReturnValue:
    """Add or change a macro, or show what it would look like."""
    form, session = MacroForm(request.form), db.session()
    known = _macro(macro_id) if macro_id else None
    if request.form.get("do") == "preview":
        return _page(form, known)
    if known is not None:
        _must(known)
    if form.shared.data and not allowed(MANAGE):
        raise NotAllowed("What everybody has is set up by who manages the support log: keep it as your own.")
    try:
        saved = service.put(session, known, _wanted(form), **how())
    except (InputError, Conflict) as error:
        session.rollback()
        problems = error.fields if isinstance(error, InputError) else {}
        for name, problem in (problems or {"name": error.message}).items():
            field = form[name if name in form else "name"]
            field.errors = [*field.errors, problem]
        return _page(form, _macro(macro_id) if macro_id else None), error.status
    session.commit()
    flash(f"{saved.name} is saved.", "success")
    return redirect(url_for("support.macros"))


@blueprint.post("/settings/macros/<int:macro_id>/archive")
@blueprint.post("/settings/macros/<int:macro_id>/restore", endpoint="restore_macro")
@require(WORK)
def archive_macro(macro_id: int) -> ResponseReturnValue:
    """Offer a macro no more, or again."""
    archived = request.path.endswith("/archive")
    words = "It is offered no more." if archived else "It is offered again."
    return _done(macro_id, lambda it: service.archive(db.session(), it, archived=archived, **how()), words)


@blueprint.post("/settings/macros/<int:macro_id>/raise")
@require(WORK)
def raise_macro(macro_id: int) -> ResponseReturnValue:
    """Move a macro up."""
    return _done(macro_id, lambda it: service.raise_one(db.session(), it, current_user.id), "The order is changed.")


def _done(macro_id: int, act: Callable[[Macro], None], words: str) -> ResponseReturnValue:
    found = _macro(macro_id)
    _must(found)
    act(found)
    db.session().commit()
    flash(words, "success")
    return redirect(url_for("support.macros"))


def _macro(macro_id: int) -> Macro:
    return service.get(db.session(), macro_id, current_user.id)


def _may(macro: Macro) -> bool:
    """Whether the member may change a macro: their own, and a shared one who manages."""
    return allowed(MANAGE if macro.member_id is None else WORK)


def _must(macro: Macro) -> None:
    if not _may(macro):
        raise NotAllowed("Everybody has this macro: ask an admin to change it, or make one of your own.")


def _wanted(form: MacroForm) -> Wanted:
    if (form.assignee.data or "") not in ("", NONE, SENDER):
        raise InputError("Choose an assignee of the list.", {"assignee": "is none of the list: choose one"})
    return Wanted(
        name=form.name.data or "",
        body=form.body.data or "",
        status=form.status.data or "",
        priority=form.priority.data or "",
        topic_id=None if form.topic.data == NONE else whole(form.topic.data or "", "topic"),
        tags=_tags(form.tags),
        remove_tags=_tags(form.remove_tags),
        clear=tuple(each for each in service.CLEARS if form[each].data == NONE),
        take=form.assignee.data == SENDER,
        shared=bool(form.shared.data),
        version=whole(form.version.data or ""),
    )


def _tags(field: StringField) -> tuple[str, ...]:
    return tuple((field.data or "").replace(",", " ").split())


def _page(form: MacroForm, known: Macro | None) -> str:
    session = db.session()
    leave = SelectChoice("", "Leave as it is")
    form.status.choices = [leave, *(SelectChoice(name, label) for name, label in words.STATUSES.items())]
    form.priority.choices = [leave, *(SelectChoice(name, label) for name, label in words.PRIORITIES.items())]
    form.assignee.choices = [leave, SelectChoice(SENDER, "Whoever sends it"), SelectChoice(NONE, "Nobody")]
    form.topic.choices = [
        leave,
        SelectChoice(NONE, "No topic"),
        *(SelectChoice(str(each.id), each.path) for each in tree(session)),
    ]
    tried = _tried(session, form)
    return render_template(
        "support/macro.html",
        form=form,
        known=known,
        may=allowed(WORK) if known is None else _may(known),
        variables=filling.VARIABLES,
        tried=tried,
        values=filling_of(session, tried) if tried else {},
        preview=_preview(session, form, tried),
    )


def _tried(session: Session, form: MacroForm) -> Interaction | None:
    """Return the interaction that a macro is tried on: the one that is named, or the newest."""
    typed = (form.on.data or "").strip()
    if not typed:
        newest = select(Interaction).where(Interaction.merged_into.is_(None), Interaction.erased.is_(False))
        return session.scalar(newest.order_by(Interaction.id.desc()).limit(1))
    number = words.number_of(typed)
    found = session.get(Interaction, number) if number is not None else None
    if found is None:
        form.on.errors = [*form.on.errors, "There is no such interaction."]
    return found


def filling_of(session: Session, it: Interaction) -> dict[str, str]:
    """Return what the variables stand for in an interaction, as the signed-in member writes."""
    user = session.get(User, it.user_id) if it.user_id else None
    account = session.get(Account, it.account_id) if it.account_id else None
    return filling.values_of(it, user, account, current_user.name or current_user.email)


def _preview(session: Session, form: MacroForm, tried: Interaction | None) -> Markup | None:
    if tried is None or not form.body.data:
        return None
    return Markup(render(filling.fill(form.body.data, filling_of(session, tried))))  # noqa: S704 - our own Markdown
