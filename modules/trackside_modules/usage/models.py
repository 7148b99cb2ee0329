"""Tables of usage: what was accepted, what it added up to, and where each cumulative stream stands.

`usage_inbox` and `usage_batch` are written at the door, everything else only by the fold.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


def _env_id() -> Mapped[int]:
    return mapped_column(ForeignKey("environment.id"), primary_key=True)


class UsageBatch(Base):
    """That a batch was accepted, and how it was answered; kept 30 days, so that a repeat is still known."""

    __tablename__ = "usage_batch"
    __table_args__ = (Index("ix_usage_batch_received_at", "received_at"),)

    env_id: Mapped[int] = _env_id()
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

    env_id: Mapped[int] = _env_id()
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

    env_id: Mapped[int] = _env_id()
    stream: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    reading: Mapped[bytes] = mapped_column(LargeBinary)
    seen_at: Mapped[datetime]


class UsageEndpoint(Base):
    """A method and route of a service."""

    __tablename__ = "usage_endpoint"
    __table_args__ = (UniqueConstraint("env_id", "service", "method", "route"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    service: Mapped[str]
    method: Mapped[str]
    route: Mapped[str]
    first_seen_at: Mapped[datetime]


class UsageVersion(Base):
    """A version of a service, and when it was first seen."""

    __tablename__ = "usage_version"
    __table_args__ = (Index("ix_usage_version_first_seen_at", "env_id", "first_seen_at"),)

    env_id: Mapped[int] = _env_id()
    service: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime]


class UsageMinute(Base):
    """What one user's calls of one endpoint with one status came to in a minute; partitioned by day.

    Times are in microseconds; `latency` is a packed histogram (see `histogram.pack`); user 0 is nobody known.
    """

    __tablename__ = "usage_minute"
    __table_args__ = (
        Index("ix_usage_minute_user_id", "env_id", "user_id", "minute"),
        {"postgresql_partition_by": "RANGE (minute)"},
    )

    env_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    calls: Mapped[int]
    micros: Mapped[int]
    longest: Mapped[int]
    latency: Mapped[bytes] = mapped_column(LargeBinary)
    approximate: Mapped[bool] = mapped_column(Boolean, server_default=false())


class UsageFold(Base):
    """The number of an environment's last fold; Redis keeps the same one, so a difference shows that it missed some."""

    __tablename__ = "usage_fold"

    env_id: Mapped[int] = _env_id()
    number: Mapped[int]
    folded_at: Mapped[datetime]


class UsageWarning(Base):
    """Something about what a service sends that a person should know and mend."""

    __tablename__ = "usage_warning"

    env_id: Mapped[int] = _env_id()
    kind: Mapped[str] = mapped_column(primary_key=True)
    about: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[int]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
