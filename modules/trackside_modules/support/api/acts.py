"""What is done with an interaction: edit its fields, reply, note, receive, link, merge."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trackside.api import Call, Id, Input, Moment
from trackside.auth.audit import key_actor
from trackside.errors import Conflict
from trackside_modules.support import service
from trackside_modules.support.api import WRITE, api
from trackside_modules.support.api.interactions import shown
from trackside_modules.support.api.shapes import INTERACTION, Body, InteractionOut, Line, LinkIn, Word
from trackside_modules.support.service.work import locked

_NUMBER = "/support/interactions/{number}"


class InteractionEdit(Input):
    """What changes; fields that are not sent stay as they are."""

    subject: Line | UnsetType = UNSET
    kind: Word | UnsetType = UNSET
    status: Word | UnsetType = UNSET
    priority: Word | UnsetType = UNSET
    topic: Annotated[str, Meta(max_length=200, description="A path or alias; empty: none")] | UnsetType = UNSET
    assignee: Annotated[str, Meta(max_length=200, description="A member's address; empty: nobody")] | UnsetType = UNSET
    snooze_until: Moment | UnsetType | None = UNSET
    add_tags: list[str] = msgspec.field(default_factory=list)
    remove_tags: list[str] = msgspec.field(default_factory=list)


class Reply(Input):
    """A public message of ours."""

    body: Body
    then: Annotated[str, Meta(max_length=40, description="The status afterwards: solved, open, waiting_dev")] = ""


class Note(Input):
    """A note that only members see."""

    body: Body


class Received(Input):
    """A message of the customer, however it came."""

    body: Body
    via: Annotated[str, Meta(max_length=50, description="How it came")] = "api"
    at: Moment | None = None


class GoesOnIn(Input):
    """Which one goes on."""

    into: Id


@api.patch(_NUMBER, scope=WRITE, edits=True, errors=(Conflict,), example=INTERACTION, sends={"status": "solved"})
def edit_interaction(call: Call, number: Id, body: InteractionEdit) -> InteractionOut:
    """Change an interaction's fields, all of them in one piece."""
    _match(call, number)
    session, how = call.session, _how(call)
    with session.begin_nested():
        if body.subject is not UNSET:
            service.rename(session, number, body.subject, **how)
        if body.kind is not UNSET:
            service.set_kind(session, number, body.kind, **how)
        if body.priority is not UNSET:
            service.prioritise(session, number, body.priority, **how)
        if body.topic is not UNSET:
            service.set_topic(session, number, service.topics.pick(session, None, body.topic), **how)
        if body.assignee is not UNSET:
            service.assign(session, number, service.fields.member_called(session, body.assignee), **how)
        if body.add_tags or body.remove_tags:
            service.tag(session, number, add=body.add_tags, remove=body.remove_tags, **how)
        if body.status is not UNSET:
            service.set_status(session, number, body.status, **how)
        if body.snooze_until is not UNSET:
            service.snooze(session, number, body.snooze_until, **how)
    return shown(call, number)


@api.post(f"{_NUMBER}:reply", scope=WRITE, edits=True, errors=(Conflict,), example=INTERACTION)
def reply_to_interaction(call: Call, number: Id, body: Reply) -> InteractionOut:
    """Write to the customer. With If-Match it is refused where the thread has changed meanwhile."""
    _match(call, number)
    service.reply(call.session, number, body.body, then=body.then or None, **_how(call))
    return shown(call, number)


@api.post(f"{_NUMBER}:note", scope=WRITE, edits=True, errors=(Conflict,), example=INTERACTION)
def note_on_interaction(call: Call, number: Id, body: Note) -> InteractionOut:
    """Add a note that only members see."""
    _match(call, number)
    service.note(call.session, number, body.body, **_how(call))
    return shown(call, number)


@api.post(f"{_NUMBER}:receive", scope=WRITE, errors=(Conflict,), example=INTERACTION, sends={"body": "Still 401."})
def receive_message(call: Call, number: Id, body: Received) -> InteractionOut:
    """Add what the customer wrote elsewhere; one that was solved is open again."""
    row = service.get(call.session, number)
    now = call.runtime.clock.now()
    found = service.receive(call.session, number, body.body, now=now, user_id=row.user_id, via=body.via, at=body.at)
    return shown(call, found.id)


@api.post(f"{_NUMBER}:link", scope=WRITE, edits=True, errors=(Conflict,), example=INTERACTION)
def link_interaction(call: Call, number: Id, body: LinkIn) -> InteractionOut:
    """Link an interaction to an address in a tracker, a flag or another interaction."""
    _match(call, number)
    service.link(call.session, number, body.kind, body.ref, title=body.title, **_how(call))
    return shown(call, number)


@api.post(f"{_NUMBER}:merge", scope=WRITE, edits=True, errors=(Conflict,), example=INTERACTION)
def merge_interaction(call: Call, number: Id, body: GoesOnIn) -> InteractionOut:
    """Let an interaction go on in another; both histories stay."""
    _match(call, number)
    target = service.merge(call.session, number, body.into, **_how(call))
    return shown(call, target.id)


def _how(call: Call) -> dict[str, Any]:
    return {"who": key_actor(call.key), "now": call.runtime.clock.now()}


def _match(call: Call, number: int) -> None:
    """Lock the interaction, and raise StaleVersion unless it is the one that the caller names (`If-Match`)."""
    call.if_match(locked(call.session, number).version)
