"""Changing one interaction from its page: status, properties, snooze, links."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import flash, redirect
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.db import db
from trackside.errors import InputError
from trackside.web.policy import require
from trackside_modules.support import service, words
from trackside_modules.support.models import Interaction
from trackside_modules.support.web.base import (
    WORK,
    blueprint,
    following_or,
    how,
    now,
    open_interaction,
    posted,
    thread_url,
    whole,
)
from trackside_modules.support.web.snoozing import until_in

_DONE = {"solved": "solved", "closed": "closed", "spam": "spam", "open": "open again"}


@blueprint.post("/<int:number>/status")
@require(WORK)
def status(number: int) -> ResponseReturnValue:
    """Set the status; what is done with leads on to the next."""
    fields = posted("to", "next")
    to = fields.get("to", "")
    it = service.set_status(db.session(), number, to, **how())
    db.session().commit()
    flash(f"{it.ref} is {_DONE.get(to, words.STATUSES[to].lower())}.", "success")
    return redirect(following_or(number, fields) if to not in words.ACTIVE else thread_url(number))


@blueprint.post("/<int:number>/set")
@require(WORK)
def set_property(number: int) -> ResponseReturnValue:
    """Set one property."""
    fields = posted("name", "to")
    change(number, fields.get("name", ""), fields.get("to", ""))
    db.session().commit()
    return redirect(thread_url(number))


def change(number: int, name: str, to: str) -> object:
    """Set the property `name` as a form says it; raises InputError for one that does not exist."""
    session = db.session()
    acts: Mapping[str, Callable[[], Any]] = {
        "status": lambda: service.set_status(session, number, to, **how()),
        "assignee": lambda: service.assign(session, number, _member(to), **how()),
        "priority": lambda: service.prioritise(session, number, to, **how()),
        "topic": lambda: service.set_topic(session, number, whole(to, "topic"), **how()),
        "kind": lambda: service.set_kind(session, number, to, **how()),
        "tags": lambda: _tags(number, to),
        "tag": lambda: service.tag(session, number, add=tags_in(to), **how()),
        "snooze": lambda: service.snooze(session, number, until_in({"until": to}, now()), **how()),
    }
    if name not in acts:
        raise InputError(f"There is no property {name[:40]!r}.", {"name": "is unknown"})
    return acts[name]()


def tags_in(text: str) -> list[str]:
    """Return the tags that a line names, with or without their sign."""
    return [each.lstrip("#+") for each in text.replace(",", " ").split() if each.lstrip("#+")]


def _member(to: str) -> int | None:
    return int(current_user.id) if to == "me" else whole(to, "assignee")


def _tags(number: int, to: str) -> Interaction:
    wanted, there = set(tags_in(to.lower())), set(open_interaction(number).tags)
    return service.tag(db.session(), number, add=wanted - there, remove=there - wanted, **how())


@blueprint.post("/<int:number>/snooze")
@require(WORK)
def snooze(number: int) -> ResponseReturnValue:
    """Put it out of sight until a time, or bring it back."""
    fields = posted("until", "at", "next")
    until = until_in(fields, now())
    it = service.snooze(db.session(), number, until, **how())
    db.session().commit()
    flash(f"{it.ref} is out of sight until then." if until else f"{it.ref} is awake.", "success")
    return redirect(following_or(number, fields) if until else thread_url(number))


@blueprint.post("/<int:number>/link")
@require(WORK)
def link(number: int) -> ResponseReturnValue:
    """Link it to an address, a flag or another interaction."""
    kind, ref = target_in(posted("to").get("to", ""))
    service.link(db.session(), number, kind, ref, **how())
    db.session().commit()
    return redirect(thread_url(number))


@blueprint.post("/<int:number>/unlink")
@require(WORK)
def unlink(number: int) -> ResponseReturnValue:
    """Take a link away."""
    fields = posted("kind", "ref")
    service.unlink(db.session(), number, fields.get("kind", ""), fields.get("ref", ""), **how())
    db.session().commit()
    return redirect(thread_url(number))


@blueprint.post("/<int:number>/ship")
@require(WORK)
def ship(number: int) -> ResponseReturnValue:
    """Say that the linked work was delivered: the customer is to be told."""
    fields = posted("kind", "ref")
    service.ship(db.session(), number, fields.get("kind", ""), fields.get("ref", ""), **how())
    db.session().commit()
    return redirect(thread_url(number))


def target_in(text: str) -> tuple[str, str]:
    """Return the kind and ref of what a line wants to be linked to."""
    text = text.strip()
    if text.lower().startswith("flag:"):
        return "flag", text[5:].strip()
    if words.number_of(text) is not None:
        return "interaction", text
    return "url", text
