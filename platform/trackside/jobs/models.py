"""Tables of background work: tasks, the outbox and the claims of the schedule.

A kind's queue, timeout and attempts are not stored: the registry says them, so that a change of code also reaches what
is waiting already.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base

WAITING, RUNNING, DONE, FAILED, DISCARDED = "waiting", "running", "done", "failed", "discarded"
STATES = (WAITING, RUNNING, DONE, FAILED, DISCARDED)
OPEN = (WAITING, RUNNING)
"""What still has to happen."""


class Task(Base):
    """Something a worker is to do: written with the change that asks for it, done at least once, effective once."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint("state in ('waiting', 'running', 'done', 'failed', 'discarded')", name="state"),
        Index(
            "uq_task_dedupe_key_open",
            "dedupe_key",
            unique=True,
            postgresql_where=text("state in ('waiting', 'running')"),
        ),
        Index("ix_task_open", "not_before", postgresql_where=text("state in ('waiting', 'running')")),
        Index("ix_task_closed", "finished_at", postgresql_where=text("state not in ('waiting', 'running')")),
        Index("ix_task_failed", "id", postgresql_where=text("state = 'failed'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    args: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default=WAITING)
    attempts: Mapped[int] = mapped_column(server_default="0")
    not_before: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    dedupe_key: Mapped[str | None]
    again: Mapped[bool] = mapped_column(server_default=text("false"))
    """Asked for once more while it was running: it waits again when it is done."""
    error: Mapped[str | None]
    """Why the last attempt failed, without personal data."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Delivery(Base):
    """Something to be said outside (a mail, a webhook), under an id that stays the same however often it is sent."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_about", "about", postgresql_where=text("about is not null")),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    delivery_id: Mapped[str] = mapped_column(unique=True)
    """What the receiver can tell repeats by."""
    channel: Mapped[str]
    payload: Mapped[dict[str, Any]]
    """Emptied once it is sent: it may hold addresses."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    about: Mapped[str | None]
    """What it delivers, as the module that posted it calls it: no personal data, it stays when the payload goes."""
    task_id: Mapped[int | None]
    """The task that sends it."""
    remark: Mapped[str | None]
    """What its sender said of it: that nothing left the house, say."""


class TickClaim(Base):
    """A tick of the schedule that some scheduler has taken."""

    __tablename__ = "tick_claim"

    name: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    """The start of the period that the tick is for."""
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
