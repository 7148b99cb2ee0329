"""Merging interactions that are one, and splitting one that is two."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside_modules.support.history import Event, state_of
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import Interaction
from trackside_modules.support.service import fields, searching
from trackside_modules.support.service.logs import next_number
from trackside_modules.support.service.work import Work, locked

_KEPT = ("side", "body", "via", "file_ids", "automatic")


def merge(
    session: Session, number: int, into: int, *, who: Actor, now: datetime, if_version: int | None = None
) -> Interaction:
    """Let `number` go on in `into`: it is closed, its readers are sent there, its words are found there.

    Returns the target. Raises InputError for itself, Conflict where one of them was merged already, StaleVersion where
    `number` is not at `if_version`.
    """
    if number == into:
        raise fields.wrong("into", "An interaction cannot be merged into itself.")
    for each in sorted((number, into)):
        locked(session, each)
    with Work.on(session, into, who, now=now) as target:
        with Work.on(session, number, who, now=now, if_version=if_version) as work:
            work.add("merged", into=into)
        target.add("absorbed", {"from": number})
        if missing := [each for each in work.state.tags if each not in target.state.tags]:
            target.add("tags", add=missing[: fields.MOST_TAGS - len(target.state.tags)], remove=[])
    searching.absorb(session, [into])
    return get(session, into)


def split(
    session: Session, number: int, seqs: Collection[int], subject: str, *, who: Actor, now: datetime
) -> Interaction:
    """Make a new interaction of the messages and notes `seqs`, with the same customer; return it.

    History does not change: the messages stay in the old one, marked by its `split` event, and are copied to the new.
    Raises InputError where `seqs` are no messages or notes of it.
    """
    subject = fields.subject(subject)
    with Work.on(session, number, who, now=now) as work:
        chosen = [each for each in work.events if each.seq in seqs and each.kind in ("message", "note")]
        if not chosen or len(chosen) != len(set(seqs)):
            raise fields.wrong("seqs", "Choose messages and notes of this interaction.")
        fresh = next_number(session)
        work.add("split", into=fresh, seqs=[each.seq for each in chosen])
    created = _created(work, chosen, subject, who, now)
    new = Work(session, who, now, fresh, [created], state_of([created]), [(created, None)])
    new.add("split", {"from": number}, at=created.at)
    for each in chosen:
        _copy(new, each)
    new.finish()
    return get(session, fresh)


def _created(work: Work, chosen: list[Event], subject: str, who: Actor, now: datetime) -> Event:
    old = work.state
    data = {
        **{name: getattr(old, name) for name in ("kind", "channel", "direction", "priority", "topic_id", "tags")},
        **{name: getattr(old, name) for name in ("user_id", "account_id", "assignee_id", "env_id")},
        "subject": subject,
        "status": "open" if old.assignee_id is not None else "new",
        "source": "split",
    }
    return Event(1, chosen[0].at, "created", data, now, who.member_id, None, who.key_id)


def _copy(new: Work, event: Event) -> None:
    """Let what was said in the old interaction be said in the new, by whom and when it was."""
    kept = {name: event.data[name] for name in _KEPT if name in event.data}
    copied = Event(
        new.state.version + 1, event.at, event.kind, kept, new.now, event.member_id, event.user_id, event.key_id
    )
    new.take(copied)
