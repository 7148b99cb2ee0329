"""Changing an interaction: each function one act, which appends an event only where something becomes different."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import InputError
from trackside_modules.support import words
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import Interaction
from trackside_modules.support.service import fields, people, topics
from trackside_modules.support.service.people import Named
from trackside_modules.support.service.work import Work

_HELD = {"assign": "assignee_id", "topic": "topic_id"}
"""What the state calls the value of an event, where that is not the event's own name."""


def set_status(
    session: Session, number: int, status: str, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Say where it stands: one of `words.STATUSES`."""
    fields.one_of(status, words.STATUSES, "status")
    return _set(session, number, "status", status, who=who, now=now, if_version=if_version)


def assign(
    session: Session, number: int, member_id: int | None, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Give it to a member, or to nobody; a new one is open from then on."""
    chosen = fields.member(session, member_id)
    return _set(session, number, "assign", chosen, who=who, now=now, if_version=if_version)


def set_topic(
    session: Session, number: int, topic_id: int | None, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Say what it is about, or None."""
    chosen = topics.pick(session, topic_id)
    return _set(session, number, "topic", chosen, who=who, now=now, if_version=if_version)


def set_kind(
    session: Session, number: int, kind: str, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Say what kind it is: one of `words.KINDS`."""
    fields.one_of(kind, words.KINDS, "kind")
    return _set(session, number, "kind", kind, who=who, now=now, if_version=if_version)


def prioritise(
    session: Session, number: int, priority: str, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Say how urgent it is: one of `words.PRIORITIES`."""
    fields.one_of(priority, words.PRIORITIES, "priority")
    return _set(session, number, "priority", priority, who=who, now=now, if_version=if_version)


def rename(
    session: Session, number: int, subject: str, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Give it another subject."""
    clean = fields.subject(subject)
    return _set(session, number, "subject", clean, who=who, now=now, if_version=if_version)


def _set(
    session: Session,
    number: int,
    what: str,
    to: str | int | None,
    *,
    who: Actor,
    now: datetime,
    if_version: int | None,
) -> Interaction:
    """Append the event `what`, unless the state holds its value already."""
    with Work.on(session, number, who, now=now, if_version=if_version) as work:
        if getattr(work.state, _HELD.get(what, what)) != to:
            work.add(what, to=to)
    return get(session, number)


def set_customer(session: Session, number: int, named: Named, *, who: Actor, now: datetime) -> Interaction:
    """Say whom it is with; who is not known yet is made."""
    whom = people.find_or_make(session, named, who, now=now)
    user_id, account_id = whom.user.id if whom.user else None, whom.account.id if whom.account else None
    with Work.on(session, number, who, now=now) as work:
        if (work.state.user_id, work.state.account_id) != (user_id, account_id):
            work.add("customer", {"user_id": user_id, "account_id": account_id})
    return get(session, number)


def tag(
    session: Session, number: int, *, add: Iterable[str] = (), remove: Iterable[str] = (), who: Actor, now: datetime
) -> Interaction:
    """Add and remove tags."""
    adding, removing = fields.tags(add), fields.tags(remove)
    with Work.on(session, number, who, now=now) as work:
        new = [each for each in adding if each not in work.state.tags]
        old = [each for each in removing if each in work.state.tags and each not in adding]
        fields.tags([*work.state.tags, *new])
        if new or old:
            work.add("tags", add=new, remove=old)
    return get(session, number)


def snooze(session: Session, number: int, until: datetime | None, *, who: Actor, now: datetime) -> Interaction:
    """Put it out of sight until then, or bring it back with None."""
    chosen = None if until is None else fields.later(until, "until", now=now)
    with Work.on(session, number, who, now=now) as work:
        if work.state.snooze_until != chosen:
            work.add("snooze", until=chosen.isoformat() if chosen else None)
    return get(session, number)


def link(
    session: Session, number: int, kind: str, ref: str, *, who: Actor, now: datetime, title: str = ""
) -> Interaction:
    """Link it to an address of a tracker, a flag's key or another interaction."""
    kind, ref = fields.link(kind, ref)
    if kind == "interaction":
        get(session, int(ref))
        if int(ref) == number:
            raise fields.wrong("ref", "It cannot be linked to itself.")
    with Work.on(session, number, who, now=now) as work:
        if (kind, ref) not in work.state.links:
            work.add("link", kind=kind, ref=ref, title=title.strip()[:200])
    return get(session, number)


def unlink(session: Session, number: int, kind: str, ref: str, *, who: Actor, now: datetime) -> Interaction:
    """Take a link away."""
    return _linked(session, number, "unlink", (kind, ref), who=who, now=now)


def ship(session: Session, number: int, kind: str, ref: str, *, who: Actor, now: datetime) -> Interaction:
    """Say that the linked work was delivered: the interaction waits for its customer to be told."""
    return _linked(session, number, "shipped", (kind, ref), who=who, now=now)


def tell(session: Session, number: int, kind: str, ref: str, *, who: Actor, now: datetime) -> Interaction:
    """Say that the customer was told of the delivered work."""
    return _linked(session, number, "told", (kind, ref), who=who, now=now)


def _linked(
    session: Session, number: int, what: str, key: tuple[str, str], *, who: Actor, now: datetime
) -> Interaction:
    with Work.on(session, number, who, now=now) as work:
        if key not in work.state.links:
            key = fields.link(*key)  # as it is kept now; what was linked before stays as it was given
        linked = work.state.links.get(key)
        if linked is None:
            raise InputError(f"{words.ref(number)} is not linked to {key[1]!r}.")
        done = {"shipped": linked.shipped_at, "told": linked.told_at}.get(what)
        if done is None:
            work.add(what, kind=key[0], ref=key[1])
    return get(session, number)
