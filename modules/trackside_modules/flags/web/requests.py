"""Change requests: the list of those that wait, and one with what it would do, to be approved or refused."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError, NotAllowed
from trackside.web.current import current_runtime
from trackside.web.environments import all_environments
from trackside.web.look import zone
from trackside.web.policy import require
from trackside.workspace import Environment
from trackside_modules.flags import shape, words
from trackside_modules.flags.models import Flag, Request
from trackside_modules.flags.queries.requests import listed
from trackside_modules.flags.service import requests
from trackside_modules.flags.web.base import APPROVE, EDIT, VIEW, blueprint, choice, number
from trackside_modules.flags.web.changing import posted
from trackside_modules.flags.web.history import said_of_flag

PAGE = 50
STATUS = {
    "open": ("running", "waits for approval"),
    "approved": ("ok", "approved, not applied yet"),
    "applied": ("ok", "applied"),
    "refused": ("idle", "refused"),
    "withdrawn": ("idle", "withdrawn"),
    "stale": ("warn", "overtaken by another change"),
}


@blueprint.get("/requests")
@require(VIEW)
def request_list() -> ResponseReturnValue:
    """List the change requests."""
    show = choice("show", ("waiting", "decided"), "waiting")
    wanted = [name for name in STATUS if (name in requests.PENDING) is (show == "waiting")]
    found = listed(db.session(), status=wanted, before=number("cursor", 2**62), limit=PAGE + 1)
    return render_template(
        "flags/requests.html",
        rows=[(each, _said(each.request)) for each in found[:PAGE]],
        names={each.id: each.name for each in all_environments()},
        show=show,
        next=found[PAGE - 1].request.id if len(found) > PAGE else None,
        statuses=STATUS,
    )


@blueprint.get("/requests/<int:request_id>")
@require(VIEW)
def request_show(request_id: int) -> ResponseReturnValue:
    """Show one, with what it would do."""
    return _page(request_id)


@blueprint.post("/requests/<int:request_id>/decide")
@require(APPROVE)
def request_decide(request_id: int) -> ResponseReturnValue:
    """Approve and apply it, or refuse it; never one's own."""
    fields, session = posted("verdict", "note"), db.session()
    how: dict[str, Any] = {"who": actor(), "now": current_runtime().clock.now()}
    row = requests.get(session, None, request_id)
    try:
        if fields.get("verdict") == "approve":
            if row.status == "open":
                requests.approve(session, request_id, note=fields.get("note", ""), **how)
            requests.apply(session, request_id, **how)
            done = "Approved, and in force."
        elif fields.get("verdict") == "refuse":
            if not fields.get("note", "").strip():
                message = "Say why: who proposed it will want to know."
                raise InputError(f"note: {message}", {"note": message})
            requests.refuse(session, request_id, note=fields.get("note", ""), **how)
            done = "Refused."
        else:
            raise InputError("Approve it or refuse it.")
        session.commit()
    except (InputError, Conflict, NotAllowed) as error:
        return _refused(request_id, error, fields)
    flash(done, "success")
    return redirect(url_for("flags.request_show", request_id=request_id))


@blueprint.post("/requests/<int:request_id>/withdraw")
@require(EDIT)
def request_withdraw(request_id: int) -> ResponseReturnValue:
    """Take one's own back."""
    session = db.session()
    try:
        requests.withdraw(session, request_id, who=actor(), now=current_runtime().clock.now())
        session.commit()
    except (Conflict, NotAllowed) as error:
        return _refused(request_id, error, {})
    flash("Withdrawn: nothing was changed.", "success")
    return redirect(url_for("flags.request_show", request_id=request_id))


def _refused(request_id: int, error: InputError | Conflict | NotAllowed, fields: dict[str, str]) -> ResponseReturnValue:
    """Show the request again, with why it was not done."""
    db.session().rollback()
    return _page(request_id, error.message, fields), error.status


def _page(request_id: int, problem: str = "", fields: dict[str, str] | None = None) -> str:
    session = db.session()
    row = requests.get(session, None, request_id)
    return render_template(
        "flags/request.html",
        it=row,
        flag=session.get_one(Flag, row.flag_id),
        env=session.get(Environment, row.env_id) if row.env_id else None,
        said=_said(row),
        raw=list(shape.diff(row.before, row.after)),
        status=STATUS[row.status],
        mine=requests.is_own(session, row, actor()),
        problem=problem.removeprefix("note: "),
        fields=fields or {},
    )


def _said(row: Request) -> list[words.Said]:
    if row.env_id is None:
        return said_of_flag(row.before, row.after)
    return words.changes(row.before, row.after, row.made_at, zone())
