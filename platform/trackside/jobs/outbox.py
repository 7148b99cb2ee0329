"""The outbox: what is said to the world outside (mails, webhooks), after the commit that made it true.

`post` writes what is to be sent in the caller's transaction, with the task that sends it. Sending is at least once: a
worker may die between the receiver's answer and our note of it. So each delivery has an id that stays the same however
often it is sent, and channels pass it on (a Message-ID, a webhook-id), for the receiver to tell repeats by.

A channel is a `Sender`, named in a module's manifest (`senders={"mail": "...:build"}`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trackside.errors import NotFound
from trackside.jobs.models import Delivery
from trackside.jobs.run import fenced
from trackside.jobs.tasks import BATCH, enqueue
from trackside.module import resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
SEND = "jobs.send"
KEEP_SENT = timedelta(days=30)


class Sender(Protocol):
    """A way to the outside. It raises when the receiver did not take it; a permanent TracksideError ends the trying."""

    def send(self, delivery_id: str, payload: Mapping[str, Any]) -> str | None:
        """Send `payload` under `delivery_id`, within a minute; called again with the same id when in doubt.

        Returns what is to be remarked on it: that it went nowhere, say.
        """
        ...


@dataclass
class Recorder:
    """A sender that keeps what it was given; for tests."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def send(self, delivery_id: str, payload: Mapping[str, Any]) -> None:
        """Remember it."""
        self.sent.append((delivery_id, dict(payload)))


LOGGED = "Nothing left the house: the log only says that there was something to send."


class Console:
    """A sender that only says in the log that there was something to send, not what: it may hold personal data."""

    def send(self, delivery_id: str, payload: Mapping[str, Any]) -> str:
        """Log the id and the names of the payload's fields."""
        log.info("outbox.console", delivery=delivery_id, fields=sorted(payload))
        return LOGGED


def console(_: Runtime) -> Console:
    """Return the channel `console`."""
    return Console()


def post(session: Session, channel: str, payload: Mapping[str, Any], *, about: str | None = None) -> str:
    """Write a delivery and the task that sends it in the session's transaction; return the delivery's id.

    What became of it can be asked by `about` (see `trackside.jobs.sent`).
    """
    delivery_id = uuid4().hex
    delivery = Delivery(delivery_id=delivery_id, channel=channel, payload=dict(payload), about=about)
    session.add(delivery)
    session.flush()
    delivery.task_id = enqueue(session, SEND, {"outbox_id": delivery.id})
    session.flush()
    return delivery_id


def send(runtime: Runtime, outbox_id: int) -> None:
    """Send one delivery, unless it was sent; then note it and empty its payload. Raises NotFound without a channel."""
    with runtime.database.session() as session:
        found = session.get(Delivery, outbox_id)
        if found is None or found.sent_at is not None:
            return
        delivery_id, channel, payload = found.delivery_id, found.channel, found.payload
    remark = sender_of(runtime, channel).send(delivery_id, payload)
    with fenced(runtime, finish=True) as session:
        done: dict[str, Any] = {"sent_at": func.now(), "payload": {}, "remark": remark}
        session.execute(update(Delivery).where(Delivery.id == outbox_id, Delivery.sent_at.is_(None)).values(done))


def sender_of(runtime: Runtime, channel: str) -> Sender:
    """Return the sender of `channel`; raises NotFound where no module here has it."""
    ref = next((m.senders[channel] for m in runtime.registry.modules if channel in m.senders), None)
    if ref is None:
        raise NotFound(f"No module here sends by {channel!r}: switch the module on, or discard this task.")
    sender: Sender = resolve(ref)(runtime)
    return sender


def forget(session: Session) -> int:
    """Delete deliveries sent long ago; return how many."""
    old = select(Delivery.id).where(Delivery.sent_at < func.now() - KEEP_SENT).limit(BATCH).scalar_subquery()
    return len(session.execute(delete(Delivery).where(Delivery.id.in_(old)).returning(Delivery.id)).all())
