"""Logging an interaction: who and what, and everything else attaches itself."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.errors import Conflict
from trackside.module import Subject
from trackside.text import clean_line
from trackside.workspace import environments
from trackside_modules.support import words
from trackside_modules.support.drafts import Draft
from trackside_modules.support.history import Event, state_of
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import FrozenContext, Interaction
from trackside_modules.support.service import fields, people, topics
from trackside_modules.support.service.contexts import ContextOf
from trackside_modules.support.service.files import attach
from trackside_modules.support.service.people import Named, People, alone_with
from trackside_modules.support.service.work import Work


@dataclass(frozen=True, slots=True)
class Logged:
    """A new interaction, and whom it is with."""

    interaction: Interaction
    people: People

    @property
    def said(self) -> list[str]:
        """What was made besides, for whoever logged it."""
        made = []
        if self.people.made_user and self.people.user:
            made.append(f"{self.people.user.label} is new here: they were added to the users.")
        if self.people.made_account and self.people.account:
            made.append(f"{self.people.account.label} is new here: it was added to the accounts.")
        return made


def log(session: Session, draft: Draft, *, who: Actor, now: datetime, context_of: ContextOf | None = None) -> Logged:
    """Log `draft`, with the context that `context_of` freezes (see `contexts.freezer`).

    Raises InputError for wrong values, Conflict where its `external_ref` was logged already.
    """
    draft = _cleaned(draft)
    _must_be_new(session, draft)
    whom = people.find_or_make(
        session,
        Named(user=draft.user, user_id=draft.user_id, account=draft.account, account_id=draft.account_id),
        who,
        now=now,
    )
    at = fields.moment(draft.occurred_at, "occurred_at", now=now) if draft.occurred_at else now
    data = _created(session, draft, whom)
    number = next_number(session)
    if context_of is not None:
        _freeze(session, number, data["env_id"], whom, context_of)
    created = Event(1, at, "created", data, now, who.member_id, None, who.key_id)
    work = Work(session, who, now, number, [created], state_of([created]), [(created, None)])
    _first(work, draft, at)
    work.finish()
    attach(session, number, draft.file_ids)
    return Logged(get(session, number), whom)


def next_number(session: Session) -> int:
    """Return a number that no interaction has had."""
    number = session.scalar(select(func.nextval(text("pg_get_serial_sequence('support_interaction', 'id')"))))
    assert number is not None
    return int(number)


def _cleaned(draft: Draft) -> Draft:
    """Return `draft` with where it comes from as it is kept: what is the same there is the same here."""
    external_ref = None if draft.external_ref is None else clean_line(draft.external_ref, "external_ref")
    return replace(draft, source=clean_line(draft.source, "source", longest=50), external_ref=external_ref)


def _must_be_new(session: Session, draft: Draft) -> None:
    if draft.external_ref is None:
        return
    same = (Interaction.source == draft.source, Interaction.external_ref == draft.external_ref)
    alone_with(session, f"{draft.source} {draft.external_ref}")
    found = session.scalar(select(Interaction.id).where(*same))
    if found is not None:
        raise Conflict(f"{draft.source} {draft.external_ref!r} was logged already: it is {words.ref(found)}.")


def _created(session: Session, draft: Draft, whom: People) -> dict[str, Any]:
    incoming = fields.one_of(draft.direction, words.DIRECTIONS, "direction") == "in"
    begins = "new" if incoming and draft.assignee_id is None else "open"
    given = fields.one_of(draft.status or begins, words.STATUSES, "status")
    if given in words.ENDED and (draft.body.strip() or draft.file_ids):
        # its message comes first (see `_first`): nobody wrote again after it was solved
        given = begins
    return {
        "subject": fields.subject(draft.subject),
        "kind": fields.one_of(draft.kind, words.KINDS, "kind"),
        "channel": fields.one_of(draft.channel, words.CHANNELS, "channel"),
        "direction": draft.direction,
        "status": given,
        "priority": fields.one_of(draft.priority, words.PRIORITIES, "priority"),
        "topic_id": topics.pick(session, draft.topic_id, draft.topic),
        "tags": fields.tags(draft.tags),
        "user_id": whom.user.id if whom.user else None,
        "account_id": whom.account.id if whom.account else None,
        "assignee_id": fields.member(session, draft.assignee_id),
        "env_id": _environment(session, draft.env_id),
        "source": draft.source,
        "external_ref": draft.external_ref,
        "logged_ms": None if draft.logged_ms is None else max(0, min(draft.logged_ms, 86_400_000)),
    }


def _environment(session: Session, env_id: int | None) -> int | None:
    every = [each.id for each in environments(session)]
    if env_id is not None and env_id not in every:
        raise fields.wrong("env_id", "There is no such environment.")
    return env_id if env_id is not None else next(iter(every), None)


def _freeze(session: Session, number: int, env_id: int | None, whom: People, context_of: ContextOf) -> None:
    if env_id is None:
        return
    if whom.user is not None:
        subject = Subject("user", whom.user.id, env_id)
    else:
        assert whom.account is not None
        subject = Subject("account", whom.account.id, env_id)
    session.add(FrozenContext(interaction_id=number, data=context_of(session, subject)))


def _first(work: Work, draft: Draft, at: datetime) -> None:
    """Let happen what the draft tells besides: its message, note and links."""
    if draft.body.strip() or draft.file_ids:
        said: dict[str, Any] = {"body": fields.body(draft.body, empty=bool(draft.file_ids)), "via": draft.source}
        said |= {"file_ids": list(draft.file_ids)} if draft.file_ids else {}
        said |= {"mail_id": draft.mail_id} if draft.mail_id is not None else {}
        said |= {"automatic": True} if draft.automatic else {}
        incoming = draft.direction == "in"
        side = "customer" if incoming else "staff"
        work.add("message", at=at, user_id=work.state.user_id if incoming else None, side=side, **said)
        if draft.status and work.state.status != draft.status:
            work.add("status", at=at, to=draft.status)
    if draft.note.strip():
        work.add("note", body=fields.body(draft.note, field="note"))
    if len(draft.links) > fields.MOST_LINKS:
        raise fields.wrong("links", f"Give {fields.MOST_LINKS} links or fewer.")
    for kind, ref in dict.fromkeys(fields.link(*each) for each in draft.links):
        work.add("link", kind=kind, ref=ref, title="")
