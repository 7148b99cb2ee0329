"""Saved views: a search with a name, shared or one's own."""

from flask import flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.db import db
from trackside.errors import Conflict, NotAllowed, NotFound
from trackside.text import clean_line
from trackside.web.policy import allowed, require
from trackside_modules.support.models import SavedView
from trackside_modules.support.queries import lists
from trackside_modules.support.queries.asked import ORDER
from trackside_modules.support.web.base import LONGEST_SEARCH, MANAGE, WORK, blueprint, now, posted

LONGEST_NAME = 60
MOST_VIEWS = 50
"""Shared ones, and of each member's own."""


@blueprint.post("/-/views")
@require(WORK)
def view_save() -> ResponseReturnValue:
    """Keep a search under a name."""
    fields, session = posted("name", "query", "sort", "shared"), db.session()
    name = clean_line(fields.get("name", ""), "name", longest=LONGEST_NAME)
    query = clean_line(fields.get("query", ""), "query", longest=LONGEST_SEARCH)
    owner = None if fields.get("shared") == "yes" else current_user.id
    sort = fields.get("sort", "")
    if _count(session, owner) >= MOST_VIEWS:
        raise Conflict(f"There are {MOST_VIEWS} views already, each counted whenever the desk is shown: take one away.")
    row = SavedView(
        name=name,
        query=query,
        member_id=owner,
        sort=sort if sort in lists.SORTS else ORDER,
        position=0,
        created_at=now(),
    )
    session.add(row)
    session.commit()
    flash(f"{name} is a view now.", "success")
    return redirect(url_for("support.index", view=f"v{row.id}"))


@blueprint.post("/-/views/<int:view_id>/delete")
@require(WORK)
def view_delete(view_id: int) -> ResponseReturnValue:
    """Take a view away: one's own, or a shared one where one may set up the support log."""
    session = db.session()
    row = session.get(SavedView, view_id) if view_id < 1 << 63 else None
    if row is None or row.member_id not in {None, current_user.id}:
        raise NotFound("There is no such view.")
    if row.member_id is None and not allowed(MANAGE):
        raise NotAllowed("Everybody sees this view: ask an admin to take it away.")
    session.delete(row)
    session.commit()
    flash(f"{row.name} is gone.", "success")
    return redirect(url_for("support.index"))


def _count(session: Session, owner: int | None) -> int:
    whose = SavedView.member_id.is_(None) if owner is None else SavedView.member_id == owner
    return session.scalar(select(func.count()).select_from(SavedView).where(whose)) or 0
