"""Writing down who is to be told what, in the transaction of what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.jobs.tasks import enqueue
from trackside.webhooks.models import EVERYTHING, Delivery, Endpoint

PUSH = "webhooks.push"
LOOKED_AFTER = timedelta(minutes=1)
TEST = "trackside.test"
"""What is sent to try an endpoint, whatever it wants to be told."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that endpoints may be told: its type, the ids of which its words are made, and when it was.

    `ref["about"]`, where it is given, is what people call the thing: `SUP-12`.
    """

    type: str
    ref: Mapping[str, Any]
    at: datetime


def publish(session: Session, happened: Sequence[Happened]) -> int:
    """Write a delivery for each endpoint that wants one of `happened`; return how many there are.

    While an endpoint is paused they wait for it.
    """
    if not happened:
        return 0
    # held, so that none of them is removed before this commits
    wanting = select(Endpoint.id, Endpoint.types, Endpoint.paused_at, Endpoint.hold_until)
    wanting = wanting.with_for_update(read=True, key_share=True)
    count = 0
    endpoints = session.execute(wanting.order_by(Endpoint.id)).all()
    messages = [(each, f"msg_{uuid4().hex}") for each in happened] if endpoints else []
    for endpoint_id, types, paused_at, hold_until in endpoints:
        made = [
            delivery(endpoint_id, each, message_id)
            for each, message_id in messages
            if EVERYTHING in types or each.type in types
        ]
        session.add_all(made)
        count += len(made)
        if made and paused_at is None:
            # one that does not answer costs no worker anything while it rests; looked after each minute all the same,
            # since the rest may have ended before this commits
            now = max(each.at for each in happened)
            later = min(hold_until, now + LOOKED_AFTER) if hold_until is not None and hold_until > now else None
            ring(session, endpoint_id, at=later)
    session.flush()
    return count


def delivery(endpoint_id: int, it: Happened, message_id: str) -> Delivery:
    """Return `it` as what an endpoint is to be told."""
    return Delivery(
        endpoint_id=endpoint_id,
        message_id=message_id,
        type=it.type,
        ref=dict(it.ref),
        happened_at=it.at,
        next_at=it.at,
    )


def ring(session: Session, endpoint_id: int, *, at: datetime | None = None) -> None:
    """Let what is due at an endpoint be sent, now or `at` a time."""
    # of those later one for each ten seconds: an earlier try is never lost behind a later one
    place = "" if at is None else f":{int(at.timestamp()) // 10}"
    enqueue(session, PUSH, {"endpoint_id": endpoint_id}, not_before=at, dedupe_key=f"{PUSH}:{endpoint_id}{place}")
