"""What was accepted and not yet counted, where each cumulative stream stands, and how far the fold is.

`usage_inbox` and `usage_batch` are written at the door, everything else only by the fold.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, Integer, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id


class UsageBatch(Base):
    """That a batch was accepted, and how it was answered; kept 30 days, so that a repeat is still known."""

    __tablename__ = "usage_batch"
    __table_args__ = (Index("ix_usage_batch_received_at", "received_at"),)

    env_id: Mapped[int] = env_id()
    batch: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    received_at: Mapped[datetime]
    rejected: Mapped[int]
    message: Mapped[str]


class UsageInbox(Base):
    """A batch on its way into the counts; its body is dropped a day after it was applied."""

    __tablename__ = "usage_inbox"
    __table_args__ = (
        Index(
            "ix_usage_inbox_waiting", "env_id", "id", postgresql_where=text("applied_at is null and dead_at is null")
        ),
        Index("ix_usage_inbox_applied_at", "applied_at"),
    )

    env_id: Mapped[int] = env_id()
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    batch: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    applied_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    retry_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    error: Mapped[str | None]


class UsageStream(Base):
    """The last reading of a cumulative stream since one start (nanoseconds since 1970, 0 where it is not told)."""

    __tablename__ = "usage_stream"
    __table_args__ = (Index("ix_usage_stream_seen_at", "seen_at"),)

    env_id: Mapped[int] = env_id()
    stream: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    reading: Mapped[bytes] = mapped_column(LargeBinary)
    seen_at: Mapped[datetime]


class UsageFold(Base):
    """The number of an environment's last fold; Redis keeps the same one, so a difference shows that it missed some."""

    __tablename__ = "usage_fold"

    env_id: Mapped[int] = env_id()
    number: Mapped[int]
    folded_at: Mapped[datetime]


class UsageWarning(Base):
    """Something about what a service sends that a person should know and mend."""

    __tablename__ = "usage_warning"

    env_id: Mapped[int] = env_id()
    kind: Mapped[str] = mapped_column(primary_key=True)
    about: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[int]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
