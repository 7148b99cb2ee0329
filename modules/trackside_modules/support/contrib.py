"""What the support log adds to other rooms: a count, cards on customers' pages, a panel, palette hits, a first step."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import url_for
from sqlalchemy import DateTime, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.module import Subject
from trackside.runtime import Runtime
from trackside.web.palette import PaletteHit
from trackside.web.policy import allowed
from trackside_modules.support import words
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import board, lists
from trackside_modules.support.queries.filters import Filter

SHOWN = 6
MOST_HITS = 5
DEMO = "demo"
LOGGED_ONE = select(exists().where(Interaction.source != DEMO))
"""Whether anybody logged an interaction that the demo did not."""


OURS = Filter(status=words.WAITING_FOR_US, snoozed=False)
"""What is our turn, and not put off."""


_FREE_OR_MINE = or_(Interaction.assignee_id.is_(None), Interaction.assignee_id == bindparam("member"))
_WAITING = lists.counted(
    replace(OURS, extra=(_FREE_OR_MINE,)), now=bindparam("now", type_=DateTime(timezone=True)), most=board.MOST
)
WAITING = select(func.count()).select_from(_WAITING.subquery())
"""How many interactions wait for us, assigned to nobody or to who is signed in; `board.MOST` at most."""


def interactions(runtime: Runtime, session: Session, subject: Subject) -> Mapping[str, Any] | None:
    """Return the last interactions with a user or account; None where there never was one."""
    column = Interaction.user_id if subject.kind == "user" else Interaction.account_id
    active = func.count().filter(Interaction.status.in_(words.ACTIVE))
    same = (column == subject.id, Interaction.merged_into.is_(None))
    count, still_open = session.execute(select(func.count(), active).where(*same)).one()
    if not count:
        return None
    theirs = Filter(user_ids=(subject.id,)) if subject.kind == "user" else Filter(account_ids=(subject.id,))
    last = lists.page(session, theirs, now=runtime.clock.now(), limit=SHOWN).rows
    return {
        "count": count,
        "open": still_open,
        "kind": subject.kind,
        "whom": _id_of(session, subject),
        "rows": [
            {
                "number": each.id,
                "ref": each.interaction.ref,
                "subject": each.interaction.subject,
                "status": each.interaction.status,
                "said": words.STATUSES[each.interaction.status],
                "user": each.user if subject.kind == "account" else "",
                "at": each.interaction.updated_at,
            }
            for each in last
        ],
    }


def _id_of(session: Session, subject: Subject) -> str:
    row = session.get(User, subject.id) if subject.kind == "user" else session.get(Account, subject.id)
    return (row.external_id if row else "") or ""


def panel(runtime: Runtime, session: Session, _env_id: int) -> Mapping[str, Any] | None:
    """Return who waits for us longest; None while nothing was ever logged."""
    if session.scalar(select(Interaction.id).limit(1)) is None:
        return None
    now = runtime.clock.now()
    pressing = replace(OURS, priority=("high", "urgent"))
    free = replace(OURS, assignee_ids=(None,))
    numbers = board.counts(session, {"total": OURS, "pressing": pressing, "free": free}, now=now)
    return {**numbers, "rows": lists.page(session, OURS, now=now, sort="waiting", limit=5).rows}


def palette(_runtime: Runtime, session: Session, _env_id: int, text: str) -> list[PaletteHit]:
    """Return the interaction that `text` is the number of, then those whose subject holds it, the latest first."""
    if not allowed("support.view"):
        return []
    number = words.number_of(text)
    found = [it] if number and (it := session.get(Interaction, number)) else []
    if len(text) > 2:
        holds = Interaction.subject.icontains(text, autoescape=True) & Interaction.merged_into.is_(None)
        query = select(Interaction).where(holds).order_by(Interaction.updated_at.desc()).limit(MOST_HITS)
        found += [it for it in session.scalars(query) if it.id != number]
    return [
        PaletteHit(
            it.subject,
            url_for("support.show", number=it.id),
            "support",
            f"{it.ref}, {words.STATUSES[it.status].lower()}",
        )
        for it in found
    ]
