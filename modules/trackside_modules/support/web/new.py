"""Logging an interaction: one line in a dialog over any page, or the full form."""

from dataclasses import replace
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.db import db
from trackside.errors import Conflict, InputError, TooLarge, Unavailable
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.format import seconds
from trackside.web.look import zone
from trackside.web.policy import require
from trackside_modules.support import attachments, service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.forms import InteractionForm, draft_of, offered, show_problems
from trackside_modules.support.service import Logged, freezer, reading
from trackside_modules.support.service.reading import Reading
from trackside_modules.support.web.asking import text
from trackside_modules.support.web.base import WORK, blueprint, how, now, posted, whole
from trackside_modules.support.web.changing import target_in
from trackside_modules.support.web.desk import alike_rows
from trackside_modules.support.web.files import folder
from trackside_modules.support.web.properties import NONE, members, topics

LONGEST_LINE = 2000
LONGEST_OPEN = 24 * 3600 * 1000
SHORT = 8
"""Characters of a subject from which on it is worth looking for what is like it."""
NAMES = {
    "user": "Who",
    "account": "Account",
    "topic": "Topic",
    "kind": "Kind",
    "priority": "Priority",
    "flag": "Flag",
    "channel": "By",
    "tag": "Tag",
    "assignee": "Assignee",
    "direction": "Who began",
    "at": "When",
}


def _opened() -> str:
    return str(int(now().timestamp() * 1000))


def _took(opened: str) -> int | None:
    """Return the milliseconds since a form was opened; None where it does not say, or says what cannot be."""
    begun = whole(opened, "opened") if opened.isdigit() else None
    took = int(now().timestamp() * 1000) - begun if begun else -1
    return took if 0 <= took <= LONGEST_OPEN else None


def partial() -> bool:
    """Whether script asks for a part of a page."""
    return "HX-Request" in request.headers


@blueprint.get("/new")
@require(WORK)
def new() -> ResponseReturnValue:
    """Ask for an interaction in one line; script asks for parts: what is understood so far, and what is like it."""
    match text("part"):
        case "preview":
            return render_template("support/_understood.html", **_understood(text("line", LONGEST_LINE)))
        case "alike":
            return _alike(text("subject"))
        case _:
            return _ask(text("line", LONGEST_LINE))


@blueprint.post("/new")
@require(WORK)
def new_save() -> ResponseReturnValue:
    """Log what the line says; one that cannot be logged is kept, with what is wrong."""
    fields = posted("line", "opened")
    line = fields.get("line", "").strip()
    try:
        logged = _log_line(line, _took(fields.get("opened", "")))
    except (InputError, Conflict) as error:
        db.session().rollback()
        problem = next(iter(error.fields.values()), error.message) if isinstance(error, InputError) else error.message
        return _ask(line, fields.get("opened", ""), problem), 422
    return _logged(logged, _took(fields.get("opened", "")))


def _ask(line: str, opened: str = "", problem: str = "") -> str:
    template = "support/_quick.html" if partial() else "support/new.html"
    return render_template(template, line=line, opened=opened or _opened(), **_understood(line, problem))


def _understood(line: str, problem: str = "") -> dict[str, Any]:
    """Return what a template shows of a line: what was understood, what was not, and what is like it."""
    if not line.strip():
        return {"reading": None, "problems": [problem] if problem else []}
    it = _read(line)
    problems = list(dict.fromkeys(filter(None, (problem, *it.problems))))
    told = [(NAMES[each.what], each.label, each.new) for each in it.understood]
    told += [("What", it.subject, False)] if it.subject else []
    told += [("Message", it.line.body[:80], False)] if it.line.body else []
    alike = alike_rows(db.session(), it.subject) if len(it.subject) > SHORT else []
    return {"reading": it, "understood": told, "problems": problems, "alike": alike}


def _read(line: str) -> Reading:
    return reading.read(db.session(), line, now=now(), zone=zone(), member_id=current_user.id)


def _log_line(line: str, took: int | None) -> Logged:
    it = _read(line)
    if it.draft is None:
        raise InputError(it.problems[0])
    return _log(replace(it.draft, logged_ms=took, env_id=current_environment().id))


def _log(draft: Draft) -> Logged:
    session = db.session()
    logged = service.log(session, draft, context_of=freezer(current_runtime()), **how())
    session.commit()
    return logged


def _logged(logged: Logged, took: int | None) -> ResponseReturnValue:
    it = logged.interaction
    if partial():
        said = seconds(took / 1000) if took is not None else ""
        return render_template("support/_logged.html", it=it, told=logged.said, took=said)
    flash(f"{it.ref} is logged.", "success")
    for each in logged.said:
        flash(each)
    return redirect(url_for("support.show", number=it.id))


@blueprint.get("/new/form")
@require(WORK)
def form() -> ResponseReturnValue:
    """Ask for all there is to say of an interaction."""
    return _form_page(InteractionForm(opened=_opened()))


def _alike(words: str) -> str:
    """Return what is like the subject that is being typed."""
    rows = alike_rows(db.session(), words, limit=4) if len(words) > SHORT else []
    return render_template("support/_alike.html", rows=rows, heading="Like it")


@blueprint.post("/new/form")
@require(WORK)
def form_save() -> ResponseReturnValue:
    """Log what the form says."""
    typed = InteractionForm(request.form)
    posted(*(name for name in typed._fields if name != "files"))
    opened = typed.opened.data or ""
    try:
        logged = _log(_draft(typed, _took(opened)))
    except (InputError, Conflict, TooLarge, Unavailable) as error:
        db.session().rollback()
        problems = error.fields if isinstance(error, InputError) else {}
        show_problems(typed, problems or {"": error.message})
        return _form_page(typed), error.status
    return _logged(logged, _took(opened))


def _draft(typed: InteractionForm, took: int | None) -> Draft:
    given = [(each.filename or "", each.read()) for each in request.files.getlist("files") if each.filename]
    kept = attachments.keep(db.session(), folder(), given, now=now(), member_id=current_user.id) if given else []
    link = (typed.links.data or "").strip()
    links = (target_in(link),) if link else ()
    more = {"logged_ms": took, "env_id": current_environment().id, "file_ids": tuple(kept), "links": links}
    return draft_of(typed, zone=zone(), **more)


def _form_page(typed: InteractionForm) -> str:
    session = db.session()
    typed.topic.choices = offered([NONE, *topics(session)])
    typed.assignee.choices = offered([NONE, *members(session)])
    return render_template("support/form.html", form=typed)
