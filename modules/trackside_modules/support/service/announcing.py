"""Telling the rest of Trackside what happened to an interaction, once it is committed."""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from trackside.events import announce
from trackside.webhooks import Happened, publish
from trackside_modules.support import words
from trackside_modules.support.events import (
    InteractionChanged,
    InteractionEvent,
    InteractionLogged,
    MessageSent,
    NoteAdded,
    StatusChanged,
)
from trackside_modules.support.history import Event, State

_ENDED = ("solved", "closed")
PREFIX = "support.interaction."
_TYPES = {
    "created": "created",
    "message": "message",
    "note": "note",
    "assign": "assigned",
    "merged": "merged",
    "link": "linked",
    "shipped": "shipped",
    "csat": "rated",
}
_UNTOLD = ("status", "erased")
"""A status is told where it becomes another; an erasure is nobody else's."""


def tell(session: Session, number: int, added: Iterable[tuple[Event, State | None]], after: State) -> None:
    """Announce what was `added`, each event with the state before it, and `after` all of them."""
    added = list(added)
    happened: list[Happened] = []
    befores = [before for _, before in added]
    for (event, before), following in zip(added, [*befores[1:], after], strict=True):
        announce(session, _event(number, event, after))
        ref = {"number": number, "seq": event.seq, "about": words.ref(number)}
        happened += [Happened(each, ref, event.recorded_at) for each in webhook_types(event, before, following)]
        if before is not None and following is not None and before.status != following.status:
            came_back = before.status in _ENDED and following.status not in _ENDED
            announce(
                session,
                StatusChanged(event.at, number, event.seq, before.status, following.status, reopened=came_back),
            )
    publish(session, happened)


def webhook_types(event: Event, before: State | None, following: State | None) -> list[str]:
    """Return what webhooks call `event`, between the states `before` and `following` it."""
    found = [] if event.kind in _UNTOLD else [_TYPES.get(event.kind, "changed")]
    if before is not None and following is not None and before.status != following.status:
        found.append("status")
        if following.status == "solved":
            found.append("solved")
        if before.status in _ENDED and following.status not in _ENDED:
            found.append("reopened")
    return [f"{PREFIX}{each}" for each in found]


def _event(number: int, event: Event, after: State) -> InteractionEvent:
    data = event.data
    if event.kind == "created":
        return InteractionLogged(event.at, number, event.seq, after.user_id, after.account_id, after.kind, after.source)
    if event.kind == "message":
        automatic = bool(data.get("automatic"))
        return MessageSent(event.at, number, event.seq, data["side"], data.get("via", ""), automatic)
    if event.kind == "note":
        return NoteAdded(event.at, number, event.seq)
    return InteractionChanged(event.at, number, event.seq, event.kind)
