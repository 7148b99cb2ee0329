"""What an interaction is, after all that happened to it.

The rules: a customer's message opens what was solved, closed or waiting for them, and wakes what snoozes; a message of
ours makes the customer's turn of what was ours; what is assigned is open. What nobody wrote (`automatic`) changes
nothing of it, and an interaction that was called spam stays so.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from trackside_modules.support.history.events import Event
from trackside_modules.support.words import WAITING_FOR_US

EXCERPT = 160
_ENDED = ("solved", "closed")


class Linked(msgspec.Struct, gc=False):
    """What an interaction is linked to: see `models.Link`."""

    title: str
    linked_at: datetime
    shipped_at: datetime | None = None
    told_at: datetime | None = None


class State(msgspec.Struct, gc=False):
    """See `models.Interaction`, whose columns these are, but for `links`."""

    occurred_at: datetime
    created_at: datetime
    updated_at: datetime
    subject: str
    kind: str
    channel: str
    direction: str
    status: str
    priority: str
    source: str
    user_id: int | None = None
    account_id: int | None = None
    env_id: int | None = None
    topic_id: int | None = None
    assignee_id: int | None = None
    external_ref: str | None = None
    snooze_until: datetime | None = None
    waiting_since: datetime | None = None
    solved_at: datetime | None = None
    first_reply_at: datetime | None = None
    last_message_at: datetime | None = None
    last_customer_at: datetime | None = None
    last_staff_at: datetime | None = None
    messages: int = 0
    reopens: int = 0
    tags: list[str] = []
    merged_into: int | None = None
    erased: bool = False
    excerpt: str = ""
    csat: int | None = None
    version: int = 1
    links: dict[tuple[str, str], Linked] = {}
    """By kind and ref."""


def state_of(events: Iterable[Event]) -> State:
    """Return what `events` amount to: the first one created the interaction."""
    following = iter(events)
    state = _created(next(following))
    for event in following:
        fold(state, event)
    return state


def fold(state: State, event: Event) -> None:
    """Let `event` happen to `state`."""
    change = _CHANGES.get(event.kind)
    if change is not None:
        change(state, event.data, event)
    state.version = event.seq
    # what Trackside does by itself to who the customer is (a merge, an erasure) is no activity
    if not (event.by_itself and event.kind in ("customer", "erased")):
        state.updated_at = event.at


def _created(event: Event) -> State:
    data = event.data
    state = State(
        occurred_at=event.at,
        created_at=event.recorded_at,
        updated_at=event.at,
        subject=data["subject"],
        kind=data["kind"],
        channel=data["channel"],
        direction=data["direction"],
        status=data["status"],
        priority=data["priority"],
        source=data["source"],
        user_id=data.get("user_id"),
        account_id=data.get("account_id"),
        env_id=data.get("env_id"),
        topic_id=data.get("topic_id"),
        assignee_id=data.get("assignee_id"),
        external_ref=data.get("external_ref"),
        tags=sorted(set(data.get("tags", ()))),
        version=event.seq,
    )
    if state.direction == "in":
        state.last_customer_at = event.at
    _settle(state, event.at)
    return state


def _settle(state: State, at: datetime) -> None:
    """Let what follows from the status follow from it."""
    if state.status in _ENDED:
        state.solved_at = state.solved_at or at
    else:
        state.solved_at = None
    if state.status not in (*WAITING_FOR_US, "waiting_dev"):
        state.waiting_since = None
    elif state.waiting_since is None and (
        state.last_customer_at is not None
        and (state.last_staff_at is None or state.last_customer_at > state.last_staff_at)
    ):
        state.waiting_since = state.last_customer_at


def _message(state: State, data: Any, event: Event) -> None:
    state.messages += 1
    state.last_message_at = event.at
    state.excerpt = " ".join(data["body"][: EXCERPT * 2].split())[:EXCERPT]
    if data.get("automatic"):
        return
    if data["side"] == "customer":
        _customer_wrote(state, event.at)
    else:
        _staff_wrote(state, event.at)
    _settle(state, event.at)


def _customer_wrote(state: State, at: datetime) -> None:
    state.last_customer_at = at
    state.snooze_until = None
    if state.status in _ENDED:
        state.reopens += 1
    if state.status in (*_ENDED, "waiting_customer"):
        state.status = "open"
    if state.status != "spam" and state.waiting_since is None:
        state.waiting_since = at


def _staff_wrote(state: State, at: datetime) -> None:
    state.first_reply_at = state.first_reply_at or at
    state.last_staff_at = at
    state.waiting_since = None
    if state.status in WAITING_FOR_US:
        state.status = "waiting_customer"


def _status(state: State, data: Any, event: Event) -> None:
    state.status = data["to"]
    if state.status in (*_ENDED, "spam"):
        state.snooze_until = None
    _settle(state, event.at)


def _assign(state: State, data: Any, _event: Event) -> None:
    state.assignee_id = data["to"]
    if state.assignee_id is not None and state.status == "new":
        state.status = "open"


def _set(name: str) -> Callable[[State, Any, Event], None]:
    def change(state: State, data: Any, _event: Event) -> None:
        setattr(state, name, data["to"])

    return change


def _customer(state: State, data: Any, _event: Event) -> None:
    state.user_id, state.account_id = data.get("user_id"), data.get("account_id")


def _tags(state: State, data: Any, _event: Event) -> None:
    state.tags = sorted((set(state.tags) - set(data.get("remove", ()))) | set(data.get("add", ())))


def _snooze(state: State, data: Any, _event: Event) -> None:
    state.snooze_until = datetime.fromisoformat(data["until"]) if data["until"] else None


def _link(state: State, data: Any, event: Event) -> None:
    state.links.setdefault((data["kind"], data["ref"]), Linked(data.get("title", ""), event.at))


def _unlink(state: State, data: Any, _event: Event) -> None:
    state.links.pop((data["kind"], data["ref"]), None)


def _shipped(state: State, data: Any, event: Event) -> None:
    if (linked := state.links.get((data["kind"], data["ref"]))) is not None:
        linked.shipped_at = linked.shipped_at or event.at


def _told(state: State, data: Any, event: Event) -> None:
    if (linked := state.links.get((data["kind"], data["ref"]))) is not None:
        linked.told_at = linked.told_at or event.at


def _merged(state: State, data: Any, event: Event) -> None:
    state.merged_into = data["into"]
    state.status, state.snooze_until = "closed", None
    _settle(state, event.at)


def _csat(state: State, data: Any, _event: Event) -> None:
    state.csat = data["score"]


def _erased(state: State, _data: Any, _event: Event) -> None:
    state.erased = True


_CHANGES: dict[str, Callable[[State, Any, Event], None]] = {
    "message": _message,
    "status": _status,
    "assign": _assign,
    "topic": _set("topic_id"),
    "kind": _set("kind"),
    "priority": _set("priority"),
    "subject": _set("subject"),
    "customer": _customer,
    "tags": _tags,
    "snooze": _snooze,
    "link": _link,
    "unlink": _unlink,
    "shipped": _shipped,
    "told": _told,
    "merged": _merged,
    "csat": _csat,
    "erased": _erased,
}
