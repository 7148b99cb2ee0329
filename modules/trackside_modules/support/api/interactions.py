"""Interactions: log, list and search, see one, and everything that happened to it."""

from datetime import UTC
from typing import Annotated

import msgspec
from msgspec import Meta

from trackside.api import Call, Id, Paged
from trackside.auth.audit import key_actor
from trackside.errors import Conflict, InputError
from trackside_modules.support import service
from trackside_modules.support.api import READ, WRITE, api
from trackside_modules.support.api.shapes import EVENT, INTERACTION, EventOut, InteractionNew, InteractionOut
from trackside_modules.support.drafts import Draft
from trackside_modules.support.queries import lists, threads
from trackside_modules.support.queries.asked import ORDER, listing
from trackside_modules.support.service.reading import read

_NEW = {"line": "dev@customer.example 401 after key rotation #auth !high bug"}


class Search(Paged):
    """Which interactions, in which order."""

    q: Annotated[
        str, Meta(max_length=500, description="As in the list: `status:open topic:auth user:u_42 key rotation`")
    ] = ""
    sort: Annotated[
        str,
        Meta(
            max_length=20,
            description=f"One of {', '.join(lists.SORTS)}; by itself `{ORDER}`, and for words the best first",
        ),
    ] = ""


class InteractionList(msgspec.Struct):
    """A part of a list of interactions."""

    items: list[InteractionOut]
    next: str | None = None
    """The cursor of the following part, null on the last."""
    corrected: str | None = None
    """What was searched for instead, where no interaction holds the words of `q`."""
    partly: bool = False
    """Whether a phrase of common words was looked for among the newest alone that hold them; a `sort` looks at all."""


@api.post("/support/interactions", scope=WRITE, status=201, errors=(Conflict,), example=INTERACTION, sends=_NEW)
def log_interaction(call: Call, body: InteractionNew) -> InteractionOut:
    """Log an interaction. What failed for the customer of late, and their flags' variants, are kept with it."""
    draft = _of_line(call, body) if body.line else _of_fields(call, body)
    now, context = call.runtime.clock.now(), service.freezer(call.runtime)
    logged = service.log(call.session, draft, who=key_actor(call.key), now=now, context_of=context)
    return shown(call, logged.interaction.id, logged.said)


@api.get("/support/interactions", scope=READ, example=InteractionList([INTERACTION]))
def list_interactions(call: Call, query: Search) -> InteractionList:
    """List interactions, the last active first; or search them as the page does, misspelt words too."""
    now = call.runtime.clock.now()
    after = call.after(query)
    found = listing(call.session, query.q, now=now, sort=query.sort, after=after, limit=query.limit)
    page = call.following(query, [InteractionOut.of(row) for row in found.rows], found.after)
    return InteractionList(page.items, page.next, found.corrected or None, found.partly)


@api.get("/support/interactions/{number}", scope=READ, edits=True, example=INTERACTION)
def get_interaction(call: Call, number: Id) -> InteractionOut:
    """Get an interaction as it is now."""
    return shown(call, number)


@api.get("/support/interactions/{number}/events", scope=READ, example=[EVENT])
def list_events(call: Call, number: Id) -> list[EventOut]:
    """List what happened to an interaction, in order: messages, notes and every change; the last 2,000."""
    entries = threads.thread(call.session, number).entries
    return [EventOut.of(entry.number, entry.event, entry.who) for entry in entries]


def shown(call: Call, number: int, said: list[str] | None = None) -> InteractionOut:
    """Return an interaction as the API shows it, with its ETag."""
    service.get(call.session, number)
    (row,) = lists.rows(call.session, [number])
    return call.tagged(InteractionOut.of(row, said), row.interaction.version)


def _of_line(call: Call, body: InteractionNew) -> Draft:
    if body != InteractionNew(line=body.line, source=body.source, channel=body.channel):
        message = "Send a line, or fields, not both."
        raise InputError(message, {"line": message})
    found = read(
        call.session, body.line, now=call.runtime.clock.now(), zone=UTC, source=body.source, channel=body.channel
    )
    return found.must("line")


def _of_fields(call: Call, body: InteractionNew) -> Draft:
    return Draft(
        subject=body.subject,
        body=body.body,
        user=body.user,
        account=body.account,
        kind=body.kind or "question",
        topic=body.topic,
        channel=body.channel,
        direction=body.direction,
        status=body.status,
        priority=body.priority,
        assignee_id=service.fields.member_called(call.session, body.assignee),
        tags=tuple(body.tags),
        links=tuple((it.kind, it.ref) for it in body.links),
        note=body.note,
        occurred_at=body.occurred_at,
        source=body.source,
        external_ref=body.external_ref,
        env_id=call.env_id,
    )
