"""Tables of webhooks: who is told, and what each was told."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base

WAITING, DELIVERED, FAILED, GONE = "waiting", "delivered", "failed", "gone"
STATES = (WAITING, DELIVERED, FAILED, GONE)
"""`failed`: given up; `gone`: there was nothing left to tell of."""
EVERYTHING = "*"
MEMBER, FAILING, REFUSED = "member", "failing", "gone"
"""Why an endpoint is paused: somebody did it, it failed for days, it answered 410."""


class Endpoint(Base):
    """An address that is told what happens."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    url: Mapped[str]
    types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """What it is told; `*`: everything."""
    salt: Mapped[str]
    """The secret is made of it and of ours (see `signing`): none is stored."""
    old_salt: Mapped[str | None]
    old_until: Mapped[datetime | None]
    """Until when messages are also signed with the secret before."""
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime]
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="SET NULL"))
    """Who made it."""
    paused_at: Mapped[datetime | None]
    paused_why: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    """Of the first failure that no success has followed."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """In a row."""
    hold_until: Mapped[datetime | None]
    """Nothing is tried before: it does not answer."""
    delivered_at: Mapped[datetime | None]
    """When it last took something."""


class Delivery(Base):
    """Something that an endpoint is told; its id is the order in which things happened."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_endpoint_id", "endpoint_id", "id"),
        Index("ix_webhook_delivery_due", "endpoint_id", "next_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_webhook_delivery_happened_at", "happened_at"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    message_id: Mapped[str]
    """The `webhook-id`: the same however often it is sent, and for each endpoint that is told of the same thing."""
    type: Mapped[str]
    ref: Mapped[dict[str, Any]]
    """Ids, of which the module that declared `type` makes what is sent."""
    happened_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=WAITING)
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_at: Mapped[datetime]
    """When it is tried next; while it is being sent, when somebody else may."""
    tried_at: Mapped[datetime | None]
    took_ms: Mapped[int | None]
    status: Mapped[int | None]
    """Of the last answer; None: there was none."""
    answer: Mapped[str | None]
    """How the last answer begins, or why there was none."""
