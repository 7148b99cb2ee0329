"""Sending: what is due at an endpoint, one after the other, in the order in which it happened.

Each message is tried for a week, later and later; others are not held up by it. An endpoint that does not answer, or
fails, is left alone for a while, at most an hour, so a slow one costs a worker one try at a time, and no bell rings for
it meanwhile. One that took nothing for days is paused. Sending has a queue, and so a worker, of its own (the demo's
making is the one other task there): whatever receivers do, mails and imports do not wait; and an endpoint has a round
of a few seconds before others that wait have theirs.
Only the kernel's network is used: public addresses, no redirects, bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trackside.errors import NotFound, TracksideError
from trackside.events import WebhookPaused, announce
from trackside.jobs.models import WAITING as TASK_WAITING
from trackside.jobs.models import Task
from trackside.jobs.run import fenced
from trackside.module import WebhookType, resolve
from trackside.net import network_of
from trackside.runtime import Runtime
from trackside.text import is_hidden
from trackside.webhooks import signing
from trackside.webhooks.models import DELIVERED, FAILED, FAILING, GONE, REFUSED, WAITING, Delivery, Endpoint
from trackside.webhooks.publishing import PUSH, TEST, ring

log = structlog.get_logger(__name__)
RETRIES = tuple(timedelta(seconds=each) for each in (5, 60, 300, 1800, 7200, 18_000, 36_000))
"""How long after each failure a message is tried again; further ones as the last."""
PATIENCE = timedelta(days=3)
"""How long an endpoint may take nothing before it is paused."""
KEEP_WAITING = timedelta(days=7)
"""After which a message is given up."""
KEEP = timedelta(days=30)
LONGEST_HOLD = 3600
SECONDS = 5.0
MOST_ANSWER = 4096
EXCERPT = 300
_LEASE = timedelta(seconds=60)
_ROUND = 5.0
"""Seconds after which a round of sending ends where other endpoints wait for theirs; another begins behind those."""
_LONGEST_ROUND = 45.0
"""Seconds after which it ends whoever waits: within the task's time, see the manifest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try."""

    status: int | None
    answer: str
    took_ms: int

    @property
    def ok(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_theirs(self) -> bool:
        """Whether it says something of the endpoint, not of this one message."""
        return self.status is None or self.status >= 500 or self.status in (408, 429)


def push(runtime: Runtime, endpoint_id: int) -> None:
    """Send what is due at an endpoint, for a while; what is left is rung again."""
    began = runtime.clock.monotonic()
    while (lasted := runtime.clock.monotonic() - began) < _LONGEST_ROUND:
        with fenced(runtime) as session:
            now = runtime.clock.now()
            if lasted >= _ROUND and _others_wait(session, endpoint_id, now):
                break
            taken = _take(session, endpoint_id, now)
        if taken is None:
            break
        outcome = _try(runtime, taken)
        with fenced(runtime) as session:
            _record(session, taken.id, outcome, runtime.clock.now())
    with fenced(runtime, finish=True) as session:
        _ring_again(session, endpoint_id, runtime.clock.now())


def _others_wait(session: Session, endpoint_id: int, now: datetime) -> bool:
    """Whether the turn of another endpoint has come."""
    others = select(Task.id).where(Task.kind == PUSH, Task.state == TASK_WAITING, Task.not_before <= now)
    theirs = others.where(Task.args["endpoint_id"].as_integer() != endpoint_id).limit(1)
    return session.scalar(theirs) is not None


def types_of(runtime: Runtime) -> dict[str, WebhookType]:
    """Return all that can be told, by its type."""
    return {each.type: each for each in runtime.registry.each(lambda m: m.webhooks)}


def _take(session: Session, endpoint_id: int, now: datetime) -> Delivery | None:
    """Return the next that is due, held for this try; None where there is none, or the endpoint is left alone."""
    endpoint = session.get(Endpoint, endpoint_id)
    if endpoint is None:
        return None
    query = select(Delivery).where(
        Delivery.endpoint_id == endpoint_id, Delivery.state == WAITING, Delivery.next_at <= now
    )
    if endpoint.paused_at is not None or (endpoint.hold_until is not None and endpoint.hold_until > now):
        query = query.where(Delivery.type == TEST)
    # what was refused before comes after what was not: one that is never taken holds up none
    order = query.order_by(Delivery.attempts, Delivery.id).limit(1)
    found = session.scalar(order.with_for_update(skip_locked=True))
    if found is not None:
        found.attempts, found.next_at, found.tried_at = found.attempts + 1, now + _LEASE, now
        session.flush()
    return found


def _try(runtime: Runtime, it: Delivery) -> Outcome | None:
    """Send one message; None where there is nothing left to tell of."""
    with runtime.database.session() as session:
        endpoint = session.get(Endpoint, it.endpoint_id)
        data = None if endpoint is None else _data(runtime, session, it)
    if endpoint is None or data is None:
        return None
    now, began = runtime.clock.now(), runtime.clock.monotonic()
    body = msgspec.json.encode({"type": it.type, "id": it.id, "timestamp": it.happened_at, "data": data}).decode()
    sent = signing.headers(secrets_of(runtime, endpoint, now), it.message_id, now, body)
    sent |= {"Content-Type": "application/json", "User-Agent": "Trackside-Webhooks/1"}
    try:
        got = network_of(runtime.settings).send(
            "POST", endpoint.url, body=body.encode(), headers=sent, seconds=SECONDS, most=MOST_ANSWER
        )
    except TracksideError as error:
        return Outcome(None, error.message, _ms(runtime, began))
    said = excerpt(got.body)
    if 300 <= got.status < 400:
        said = "It answered with a redirect, which is not followed: give the address it leads to."
    return Outcome(got.status, said, _ms(runtime, began))


def _data(runtime: Runtime, session: Session, it: Delivery) -> Mapping[str, Any] | None:
    if it.type == TEST:
        return {"message": "This is a test. If you can read it and its signature is right, all is well."}
    declared = types_of(runtime).get(it.type)
    if declared is None:
        return None
    try:
        found: Mapping[str, Any] | None = resolve(declared.data)(runtime, session, it.ref)
    except NotFound:
        return None
    return found


def secrets_of(runtime: Runtime, endpoint: Endpoint, now: datetime) -> list[str]:
    """Return the secrets that messages are signed with now, the newest first."""
    salts = [endpoint.salt]
    if endpoint.old_salt is not None and endpoint.old_until is not None and now < endpoint.old_until:
        salts.append(endpoint.old_salt)
    return [signing.secret_of(runtime.settings.secret_key, salt) for salt in salts]


def excerpt(body: bytes) -> str:
    """Return how an answer begins, in one line that can be shown."""
    text = " ".join(body[: EXCERPT * 4].decode("utf-8", "replace").split())
    return "".join(each for each in text if not is_hidden(each))[:EXCERPT]


def _record(session: Session, delivery_id: int, outcome: Outcome | None, now: datetime) -> None:
    # the endpoint first, as whoever resumes or removes it locks; its key stays free for what is published meanwhile
    of = select(Delivery.endpoint_id).where(Delivery.id == delivery_id).scalar_subquery()
    endpoint = session.scalar(select(Endpoint).where(Endpoint.id == of).with_for_update(key_share=True))
    it = session.get(Delivery, delivery_id, with_for_update=True)
    if it is None or endpoint is None:
        return
    if outcome is None:
        it.state, it.answer = GONE, "What it told of is gone."
        return
    it.status, it.answer, it.took_ms = outcome.status, outcome.answer, outcome.took_ms
    if outcome.ok:
        it.state = DELIVERED
        endpoint.failures, endpoint.failing_since, endpoint.hold_until = 0, None, None
        endpoint.delivered_at = now
        return
    over = it.type == TEST or now - it.happened_at > KEEP_WAITING
    it.state = FAILED if over else WAITING
    it.next_at = now if over else now + RETRIES[min(it.attempts, len(RETRIES)) - 1]
    if it.type != TEST:
        _failed(session, endpoint, outcome, now)


def _failed(session: Session, endpoint: Endpoint, outcome: Outcome, now: datetime) -> None:
    endpoint.failures += 1
    since = endpoint.failing_since = endpoint.failing_since or now
    if outcome.is_theirs:
        wait = min(LONGEST_HOLD, 5 * 2 ** min(endpoint.failures - 1, 12))
        endpoint.hold_until = now + timedelta(seconds=wait)
    if endpoint.paused_at is not None:
        return
    if outcome.status == 410 or now - since >= PATIENCE:
        why = REFUSED if outcome.status == 410 else FAILING
        endpoint.paused_at, endpoint.paused_why = now, why
        announce(session, WebhookPaused(now, endpoint.id, endpoint.name, why))
        log.warning("webhooks.paused", endpoint=endpoint.id, why=why)


def _ring_again(session: Session, endpoint_id: int, now: datetime) -> None:
    endpoint = session.get(Endpoint, endpoint_id)
    if endpoint is None or endpoint.paused_at is not None:
        return
    waiting = select(func.min(Delivery.next_at)).where(Delivery.endpoint_id == endpoint_id, Delivery.state == WAITING)
    due = session.scalar(waiting)
    if due is not None:
        ring(session, endpoint_id, at=max(due, endpoint.hold_until or due, now + timedelta(seconds=1)))


def forget(runtime: Runtime) -> None:
    """Give up what waits too long, and delete what was told long ago."""
    now = runtime.clock.now()
    with fenced(runtime) as session:
        late = (Delivery.state == WAITING, Delivery.happened_at < now - KEEP_WAITING)
        session.execute(update(Delivery).where(*late).values(state=FAILED, answer="It waited for too long."))
        over = Delivery.state != WAITING
        session.execute(delete(Delivery).where(over, Delivery.happened_at < now - KEEP))


def _ms(runtime: Runtime, began: float) -> int:
    return round((runtime.clock.monotonic() - began) * 1000)
