"""What modules announce to each other: frozen facts in the past tense, published after commit.

An event carries ids and plain values, never a row. `announce(session, event)` remembers it on the session; the bus
hands it to the subscribers once that session has committed, and forgets it on a rollback. A subscriber that fails is
logged and does not disturb the others: what must not be lost belongs into a task (see `trackside.jobs`).
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import event as sa_event
from sqlalchemy.orm import Session, SessionTransaction

log = structlog.get_logger(__name__)
_PENDING = "trackside.events"
_BUS = "trackside.bus"


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events."""

    at: datetime


@dataclass(frozen=True, slots=True)
class UserErased(Event):
    """A user was erased: whoever keeps personal data of theirs removes it."""

    user_id: int


@dataclass(frozen=True, slots=True)
class UsersMerged(Event):
    """`user_id` now stands for `merged_id` too."""

    user_id: int
    merged_id: int


@dataclass(frozen=True, slots=True)
class AccountErased(Event):
    """An account was erased; each of its users was too, with an event of its own."""

    account_id: int


@dataclass(frozen=True, slots=True)
class AccountsMerged(Event):
    """`account_id` now stands for `merged_id` too."""

    account_id: int
    merged_id: int


@dataclass(frozen=True, slots=True)
class QuotaApproached(Event):
    """An account or user used 80 or 90 % of what a rate limit allows: told once for each window and level."""

    env_id: int
    policy: str
    quota_id: int
    account_id: int | None
    """Whose count it is: an account's, a user's, or neither for an id that Trackside does not know."""
    user_id: int | None
    level: int
    """Per cent: 80 or 90."""
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class QuotaReached(Event):
    """An account or user used all that a rate limit allows, or was refused by it: told once for each window."""

    env_id: int
    policy: str
    quota_id: int
    account_id: int | None
    user_id: int | None
    level: int
    """100."""
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class FlagChanged(Event):
    """A flag, or how it is rolled out, was changed; one of these for each environment that it changed in."""

    env_id: int
    flag_id: int
    key: str
    what: str
    """`created`, `edited`, `reverted`, `promoted`, `applied`, `imported`, `archived`, `restored` or `step`."""
    change_id: int
    """In the history of flags."""
    version: int
    """Of the environment's ruleset, from this change on."""


@dataclass(frozen=True, slots=True)
class WebhookPaused(Event):
    """An endpoint is told nothing any more, until somebody resumes it: it took nothing for days, or said it is gone."""

    endpoint_id: int
    name: str
    why: str
    """`failing` or `gone`."""


Handler = Callable[[Any], None]


class EventBus:
    """Hands committed events to their subscribers, in the order they were announced."""

    def __init__(self) -> None:
        self._handlers: dict[type[Event], list[Handler]] = defaultdict(list)

    def subscribe(self, kind: type[Event], handler: Handler) -> None:
        """Call `handler` with each event of `kind` after its commit."""
        self._handlers[kind].append(handler)

    def publish(self, event: Event) -> None:
        """Hand `event` over at once; `announce` is what services use."""
        for handler in self._handlers[type(event)]:
            try:
                handler(event)
            except Exception:
                # the change is committed already: failing the caller would report a lie
                log.exception("event.handler_failed", kind=type(event).__name__, handler=repr(handler))

    def attach(self, session: Session) -> None:
        """Make `session` publish here what is announced on it."""
        session.info[_BUS] = self


def announce(session: Session, event: Event) -> None:
    """Publish `event` once `session` has committed; where a savepoint it lies in is undone, it never happened."""
    session.info.setdefault(_PENDING, []).append((session.get_nested_transaction(), event))


@sa_event.listens_for(Session, "after_commit")
def _publish(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a savepoint is released: the change is not in the database yet
    pending = session.info.pop(_PENDING, [])
    bus = session.info.get(_BUS)
    if bus is not None:
        for _, event in pending:
            bus.publish(event)


@sa_event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, undone: SessionTransaction) -> None:
    savepoint = _savepoint(undone)
    kept = [] if savepoint is None else [it for it in session.info.get(_PENDING, ()) if not _within(it[0], savepoint)]
    session.info[_PENDING] = kept


def _savepoint(transaction: SessionTransaction) -> SessionTransaction | None:
    """Return the savepoint that ends with `transaction` (a flush has one of its own within), or None for all of it."""
    while not transaction.nested and transaction.parent is not None:
        transaction = transaction.parent
    return transaction if transaction.nested else None


def _within(inner: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer
