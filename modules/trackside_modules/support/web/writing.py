"""Replies and notes: sent, tried, refused where the thread changed, with files and macros."""

from typing import Any

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session

from trackside.db import db
from trackside.errors import Conflict, InputError, TooLarge, Unavailable
from trackside.web.policy import require
from trackside_modules.support import attachments, macros, service
from trackside_modules.support.markdown import render
from trackside_modules.support.models import Interaction, Macro
from trackside_modules.support.queries import threads
from trackside_modules.support.service import macros as offered
from trackside_modules.support.web.base import (
    VIEW,
    WORK,
    Trial,
    blueprint,
    failed,
    following_or,
    how,
    now,
    open_interaction,
    posted,
    thread_url,
    whole,
)
from trackside_modules.support.web.files import folder
from trackside_modules.support.web.macros import filling_of
from trackside_modules.support.web.show import show_page

FIELDS = ("mode", "body", "then", "do", "version", "next", "macro", "macro_id", "told")
FILES_AND_FORM = attachments.MOST_BYTES + (1 << 16)


@blueprint.url_value_preprocessor
def take_files(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Let a message with files be larger than other forms are, before anything reads it."""
    if endpoint == "support.write":
        request.max_content_length = FILES_AND_FORM


@blueprint.post("/<int:number>/write")
@require(WORK)
def write(number: int) -> ResponseReturnValue:
    """Send a reply or add a note; or show what it would look like, or insert a macro, where script does not."""
    fields = posted(*FIELDS)
    it, do = open_interaction(number), fields.get("do", "send")
    if do == "preview":
        return show_page(it, Trial(fields, preview=render(fields.get("body", ""))))
    if do == "macro" and "HX-Request" in request.headers:
        text = _filled(it, whole(fields.get("macro_id", ""), "macro_id"))
        return text, {"Content-Type": "text/plain; charset=utf-8"}
    if do == "macro":
        return show_page(it, Trial(_with_macro(it, fields)))
    try:
        return _send(it, fields, solve=do == "solve")
    except (InputError, Conflict, TooLarge, Unavailable) as error:
        trial = failed(error, fields)
        return show_page(open_interaction(number), trial), trial.status


def _send(it: Interaction, fields: dict[str, str], *, solve: bool) -> ResponseReturnValue:
    session, number, body = db.session(), it.id, fields.get("body", "")
    given: dict[str, Any] = {**how(), "if_version": whole(fields.get("version", ""))}
    given["file_ids"] = _files(session)
    if fields.get("mode") == "note":
        service.note(session, number, body, **given)
    else:
        service.reply(session, number, body, then="solved" if solve else fields.get("then") or None, **given)
        if fields.get("told"):
            _tell(session, number)
    _act(session, it, fields)
    session.commit()
    if not solve:
        return redirect(thread_url(number) + "#composer")
    flash(f"{it.ref} is answered and solved.", "success")
    return redirect(following_or(number, fields))


def _tell(session: Session, number: int) -> None:
    """Note that the customer knows now of what was delivered."""
    for each in threads.thread(session, number).links:
        if each.shipped_at and not each.told_at:
            service.tell(session, number, each.kind, each.ref, **how())


def _files(session: Session) -> list[int]:
    given = [(each.filename or "", each.read()) for each in request.files.getlist("files") if each.filename]
    return attachments.keep(session, folder(), given, now=now(), member_id=current_user.id) if given else []


def _act(session: Session, it: Interaction, fields: dict[str, str]) -> None:
    """Do what the macro that was used does besides its words."""
    macro_id = whole(fields.get("macro", ""), "macro")
    macro = session.get(Macro, macro_id) if macro_id else None
    if macro is None or not usable(macro):
        return
    acts = macro.acts
    if status := acts.get("status"):
        service.set_status(session, it.id, status, **how())
    if tags := acts.get("add_tags"):
        service.tag(session, it.id, add=tags, **how())
    if tags := acts.get("remove_tags"):
        service.tag(session, it.id, remove=tags, **how())
    if priority := acts.get("priority"):
        service.prioritise(session, it.id, priority, **how())
    if (topic := acts.get("topic_id")) is not None:
        service.set_topic(session, it.id, topic, **how())
    if "topic" in acts.get("clear", ()):
        service.set_topic(session, it.id, None, **how())
    if "assignee" in acts.get("clear", ()):
        service.assign(session, it.id, None, **how())
    elif acts.get("take"):
        service.assign(session, it.id, current_user.id, **how())


def usable(macro: Macro) -> bool:
    """Whether the signed-in member may use a macro."""
    return macro.member_id in {None, current_user.id}


def macros_of(session: Session) -> list[Macro]:
    """Return the macros that the signed-in member may use, in their order."""
    return offered.seen_by(session, current_user.id)


def _filled(it: Interaction, macro_id: int | None) -> str:
    macro = offered.get(db.session(), macro_id or 0, current_user.id)
    return macros.fill(macro.body, filling_of(db.session(), it))


def _with_macro(it: Interaction, fields: dict[str, str]) -> dict[str, str]:
    chosen = fields.get("macro_id", "")
    text = _filled(it, whole(chosen, "macro_id")) if chosen else ""
    body = "\n\n".join(filter(None, (fields.get("body", "").strip(), text)))
    return {**fields, "body": body, "macro": chosen}


@blueprint.post("/-/markdown")
@require(VIEW)
def markdown() -> ResponseReturnValue:
    """Draw Markdown as a message would show it."""
    return str(render(posted("body").get("body", "")))
