"""Doing one thing to all that are selected in a list."""

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import InputError
from trackside.web.format import plural
from trackside.web.policy import require
from trackside_modules.support import service, words
from trackside_modules.support.web.base import WORK, back_or, blueprint, whole
from trackside_modules.support.web.changing import change

_FIELDS = {"act", "more", "tag", "back", "id", "csrf_token"}


@blueprint.post("/-/bulk")
@require(WORK)
def bulk() -> ResponseReturnValue:
    """Do what was chosen to each that is selected; one that refuses holds up none of the others."""
    if unknown := sorted(set(request.form) - _FIELDS):
        raise InputError(f"There is no field {', '.join(unknown)[:200]}.")
    numbers = [number for each in request.form.getlist("id") if (number := whole(each, "id"))]
    acts = _acts()
    if not numbers or not acts:
        flash("Select interactions, and what to do with them.", "warning")
        return redirect(back_or(request.form))
    session = db.session()
    done = service.bulk(session, numbers, lambda number: [change(number, name, to) for name, to in acts])
    session.commit()
    if done.done:
        flash(f"{plural(len(done.done), 'interaction')} changed.", "success")
    for number, why in list(done.refused.items())[:3]:
        flash(f"{words.ref(number)}: {why}", "error")
    return redirect(back_or(request.form))


def _acts() -> list[tuple[str, str]]:
    """Return what is to be done, as names of properties with their values."""
    chosen = [request.form.get("act") or request.form.get("more", "")]
    acts = [(each.partition(":")[0], each.partition(":")[2]) for each in chosen if each]
    acts = [("assignee" if name == "assign" else name, to) for name, to in acts]
    if not request.form.get("act") and (tag := request.form.get("tag", "").strip()):
        acts.append(("tag", tag))
    return acts
