"""Setting up macros: one's own by whoever works there, shared ones by who manages the support log.

A member sees the shared ones first and their own after them, each in its order. An archived one is offered no more, and
can come back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import Conflict, NotFound, StaleVersion
from trackside.text import clean_line
from trackside_modules.support import words
from trackside_modules.support.models import Macro, Topic
from trackside_modules.support.service import fields

LONGEST_NAME = 60
MOST = 200
CLEARS = ("topic", "assignee")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A macro as it is to be."""

    name: str
    body: str = ""
    status: str = ""
    """Set when it is sent; empty leaves it."""
    priority: str = ""
    topic_id: int | None = None
    tags: tuple[str, ...] = ()
    """Added."""
    remove_tags: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    """What is taken away: of `CLEARS`."""
    take: bool = False
    """Whether it becomes the sender's."""
    shared: bool = False
    version: int | None = None
    """What it was when it was read; None: whatever."""


def seen_by(session: Session, member_id: int, *, archived: bool = False) -> list[Macro]:
    """Return the macros that a member may use, in their order; with `archived`, those that are put away too."""
    query = select(Macro).where(or_(Macro.member_id.is_(None), Macro.member_id == member_id))
    if not archived:
        query = query.where(Macro.archived_at.is_(None))
    order = (Macro.member_id.is_not(None), Macro.position, Macro.name, Macro.id)
    return list(session.scalars(query.order_by(*order).limit(2 * MOST)))


def get(session: Session, macro_id: int, member_id: int) -> Macro:
    """Return a macro that the member may use; raises NotFound."""
    found = session.get(Macro, macro_id) if 0 < macro_id < 1 << 63 else None
    if found is None or found.member_id not in {None, member_id}:
        raise NotFound("There is no such macro.")
    return found


def put(session: Session, macro: Macro | None, wanted: Wanted, *, who: Actor, now: datetime) -> Macro:
    """Add a macro, or change one; raises InputError by field, Conflict, StaleVersion."""
    owner = None if wanted.shared else who.member_id
    name = clean_line(wanted.name, "name", longest=LONGEST_NAME)
    acts = _acts(session, wanted)
    body = fields.body(wanted.body, empty=True)
    if not body and not acts:
        raise fields.wrong("body", "Write what it says, or choose what it does.")
    same = select(Macro.id).where(func.lower(Macro.name) == name.lower(), Macro.member_id.is_not_distinct_from(owner))
    if session.scalar(same.where(Macro.id != (macro.id if macro else 0)).limit(1)) is not None:
        raise fields.wrong("name", "There is one of this name already.")
    if macro is None:
        count = session.scalar(select(func.count()).where(Macro.member_id.is_not_distinct_from(owner))) or 0
        if count >= MOST:
            raise Conflict(f"There are {MOST} already: change or archive one.")
        last = session.scalar(select(func.max(Macro.position))) or 0
        macro = Macro(created_at=now, position=last + 1, version=0)
        session.add(macro)
    elif wanted.version is not None and macro.version != wanted.version:
        raise StaleVersion("Someone changed this macro since you opened it: load the page again.")
    macro.name, macro.body, macro.acts, macro.member_id = name, body, acts, owner
    macro.version += 1
    session.flush()
    audit(session, who, "support_macro.saved", "support_macro", macro.id, name, at=now)
    return macro


def archive(session: Session, macro: Macro, *, archived: bool, who: Actor, now: datetime) -> None:
    """Offer a macro no more, or again."""
    macro.archived_at = (macro.archived_at or now) if archived else None
    macro.version += 1
    what = "archived" if archived else "restored"
    audit(session, who, f"support_macro.{what}", "support_macro", macro.id, macro.name, at=now)


def raise_one(session: Session, macro: Macro, member_id: int) -> None:
    """Move a macro above the one before it, among the shared ones or among the member's own."""
    every = [each for each in seen_by(session, member_id) if each.member_id == macro.member_id]
    place = next((at for at, each in enumerate(every) if each.id == macro.id), 0)
    if place:
        every[place - 1 : place + 1] = [macro, every[place - 1]]
    for at, each in enumerate(every, start=1):
        each.position = at


def _acts(session: Session, wanted: Wanted) -> dict[str, Any]:
    """Return what it does besides its words, as it is kept."""
    adding, removing = fields.tags(wanted.tags), fields.tags(wanted.remove_tags)
    if both := sorted(set(adding) & set(removing)):
        raise fields.wrong("remove_tags", f"{both[0]} is added, too: choose one.")
    given = {
        "status": wanted.status and fields.one_of(wanted.status, words.STATUSES, "status"),
        "priority": wanted.priority and fields.one_of(wanted.priority, words.PRIORITIES, "priority"),
        "add_tags": adding,
        "remove_tags": removing,
        "topic_id": wanted.topic_id,
        "clear": [each for each in CLEARS if each in wanted.clear],
        "take": wanted.take,
    }
    if wanted.topic_id is not None and session.get(Topic, wanted.topic_id) is None:
        raise fields.wrong("topic", "Choose from the list.")
    return {name: value for name, value in given.items() if value}
