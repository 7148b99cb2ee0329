"""What is said: replies, what customers write, and internal notes."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM, Actor
from trackside_modules.support import words
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import Interaction
from trackside_modules.support.service import fields
from trackside_modules.support.service.files import attach
from trackside_modules.support.service.work import Work


def reply(
    session: Session,
    number: int,
    body: str,
    *,
    who: Actor,
    now: datetime,
    then: str | None = None,
    if_version: int | None = None,
    via: str = "web",
    file_ids: Collection[int] = (),
    automatic: bool = False,
) -> Interaction:
    """Answer the customer, and set the status `then` (None: it is their turn where it was ours).

    Raises InputError, StaleVersion where the interaction is not at `if_version`, Conflict where it was merged.
    """
    text = fields.body(body, empty=bool(file_ids))
    wanted = None if then is None else fields.one_of(then, words.STATUSES, "then")
    with Work.on(session, number, who, now=now, if_version=if_version) as work:
        attach(session, number, file_ids)
        work.add("message", quiet=automatic, side="staff", body=text, via=via, **_besides(file_ids, None, automatic))
        if wanted is not None and wanted != work.state.status:
            work.add("status", to=wanted)
    return get(session, number)


def receive(
    session: Session,
    number: int,
    body: str,
    *,
    now: datetime,
    user_id: int | None = None,
    via: str = "mail",
    file_ids: Collection[int] = (),
    mail_id: int | None = None,
    automatic: bool = False,
    at: datetime | None = None,
) -> Interaction:
    """Take in what the customer wrote; it opens what was solved. What was merged is taken in where it goes on.

    `user_id` is who wrote (None: the interaction's user); `automatic` what nobody wrote, an absence note say.
    """
    text = fields.body(body, empty=bool(file_ids))
    number = standing(session, number)
    with Work.on(session, number, SYSTEM, now=now) as work:
        attach(session, number, file_ids)
        work.add(
            "message",
            user_id=user_id if user_id is not None else work.state.user_id,
            at=at,
            side="customer",
            body=text,
            via=via,
            **_besides(file_ids, mail_id, automatic),
        )
    return get(session, number)


def note(
    session: Session,
    number: int,
    body: str,
    *,
    who: Actor,
    now: datetime,
    if_version: int | None = None,
    file_ids: Collection[int] = (),
) -> Interaction:
    """Add an internal note, which the customer never sees."""
    text = fields.body(body, empty=bool(file_ids))
    with Work.on(session, number, who, now=now, if_version=if_version) as work:
        attach(session, number, file_ids)
        work.add("note", body=text, **_besides(file_ids, None, automatic=False))
    return get(session, number)


def standing(session: Session, number: int) -> int:
    """Return the number under which the interaction `number` goes on: its own, or where it was merged to."""
    row = get(session, number)
    while row.merged_into is not None:
        row = get(session, row.merged_into)
    return row.id


def _besides(file_ids: Collection[int], mail_id: int | None, automatic: bool) -> dict[str, Any]:
    return {
        **({"file_ids": list(file_ids)} if file_ids else {}),
        **({"mail_id": mail_id} if mail_id is not None else {}),
        **({"automatic": True} if automatic else {}),
    }
