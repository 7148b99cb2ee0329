"""What became of the mails of a thread: queued, sent, tried again or failed, and the way to send one again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import flash, redirect
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside.db import db
from trackside.errors import Conflict
from trackside.jobs import sent
from trackside.jobs.models import OPEN, Task
from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside_modules.support.history import Event
from trackside_modules.support.models import Interaction
from trackside_modules.support.service import sending
from trackside_modules.support.web.base import WORK, blueprint, now, thread_url

FRESH = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Mailed:
    """How a message of ours stands as a mail, ready to draw."""

    seq: int
    kind: str
    """As `ui.status` takes it."""
    words: str
    at: datetime | None = None
    again: bool = False
    """Whether sending it again is offered."""
    moving: bool = False
    """Whether it will be another soon."""


def mailed(session: Session, it: Interaction, events: Iterable[Event]) -> Mapping[int, Mailed]:
    """Return how each message of ours among `events`, all of them of `it`, stands; nothing where nothing is known."""
    listed = list(events)
    # what an interaction began with was said elsewhere: it is a record
    began = next((each.recorded_at for each in listed if each.kind == "created"), None)
    ours = [each for each in listed if each.kind == "message" and each.data["side"] == "staff"]
    known = sent.of(session, [sending.about(it.id, each.seq) for each in ours])
    waiting = _composing(session, it.id, ours)
    nobody = ours and not _address(session, it)
    found: dict[int, Mailed] = {}
    for each in ours:
        last = known.get(sending.about(it.id, each.seq))
        if each.seq in waiting:
            found[each.seq] = Mailed(each.seq, "running", "being sent", moving=True)
        elif last is not None:
            found[each.seq] = _shown(each.seq, last)
        elif nobody and each.data.get("via") == "web" and (each.seq, each.recorded_at) != (2, began):
            found[each.seq] = Mailed(each.seq, "idle", "not sent: the customer has no e-mail address")
    return found


def _shown(seq: int, it: sent.Sending) -> Mailed:
    if it.state == sent.SENT:
        return Mailed(seq, "ok", "sent", it.at)
    if it.state == sent.QUEUED:
        return Mailed(seq, "running", "being sent", moving=True)
    if it.state == sent.TRYING:
        return Mailed(seq, "warn", f"not sent yet: {it.reason} Tried again", it.at, moving=True)
    if it.state == sent.NOWHERE:
        has_server = bool(current_runtime().settings.smtp_url)
        why = "there was no mail server" if has_server else "there is no mail server (TRACKSIDE_SMTP_URL)"
        return Mailed(seq, "idle", f"not sent: {why}", again=has_server)
    return Mailed(seq, "bad", f"not sent: {it.reason}", again=True)


def _composing(session: Session, number: int, ours: Iterable[Event]) -> set[int]:
    """Return the messages whose mail is still to be written: a task does it within seconds."""
    if not any(now() - each.recorded_at < FRESH for each in ours):
        return set()
    query = select(Task.args["seq"].as_integer()).where(
        Task.state.in_(OPEN), Task.kind == sending.DELIVER, Task.args["interaction_id"].as_integer() == number
    )
    return set(session.scalars(query))


def _address(session: Session, it: Interaction) -> str:
    user = session.get(User, it.user_id) if it.user_id else None
    return user.email if user is not None and user.email else ""


@blueprint.post("/<int:number>/mail/<int:seq>/again")
@require(WORK)
def mail_again(number: int, seq: int) -> ResponseReturnValue:
    """Send a message of ours once more, to the address of today."""
    try:
        sending.again(db.session(), number, seq)
    except Conflict as error:
        db.session().rollback()
        flash(error.message, "error")
        return redirect(thread_url(number))
    db.session().commit()
    flash("It is sent again.", "success")
    return redirect(f"{thread_url(number)}#e{seq}")
