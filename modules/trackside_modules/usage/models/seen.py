"""Single requests worth seeing, and errors in groups."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, LargeBinary, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id


class UsageError(Base):
    """Failures alike: of one endpoint, status and type, whose messages differ in numbers and names alone.

    `endpoint_id` 0 is an error that a service logged outside of any request known.
    """

    __tablename__ = "usage_error"
    __table_args__ = (
        UniqueConstraint("env_id", "key"),
        Index("ix_usage_error_last_seen_at", "env_id", "last_seen_at"),
    )

    env_id: Mapped[int] = env_id()
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary)
    """Hash of service, endpoint, status, type and templated message."""
    service: Mapped[str]
    endpoint_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int] = mapped_column(SmallInteger)
    error: Mapped[str]
    """The type, such as `ValueError`; empty where none was told."""
    message: Mapped[str]
    """The message as a template: `<n>`, `<id>` and the like stand for what differs."""
    calls: Mapped[int]
    users: Mapped[bytes] = mapped_column(LargeBinary)
    """Who met it, see `reach`."""
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class UsageErrorHour(Base):
    """How often an error came in an hour."""

    __tablename__ = "usage_error_hour"
    __table_args__ = (Index("ix_usage_error_hour_at", "at"),)

    env_id: Mapped[int] = env_id()
    error_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    calls: Mapped[int]
    users: Mapped[bytes] = mapped_column(LargeBinary)


class UsageSample(Base):
    """A single request worth seeing: it failed, went wrong or was slow. Kept 30 days, emptied when a user is erased."""

    __tablename__ = "usage_sample"
    __table_args__ = (
        Index("ix_usage_sample_at", "at"),
        Index("ix_usage_sample_endpoint_id", "env_id", "endpoint_id", "at"),
        Index("ix_usage_sample_user_id", "env_id", "user_id", "at"),
        Index("ix_usage_sample_error_id", "env_id", "error_id", "at", postgresql_where=text("error_id is not null")),
    )

    env_id: Mapped[int] = env_id()
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    endpoint_id: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int] = mapped_column(SmallInteger)
    micros: Mapped[int]
    path: Mapped[str]
    """Without query; what looks like an id is a placeholder (see `paths`)."""
    error: Mapped[str]
    message: Mapped[str]
    trace: Mapped[str]
    error_id: Mapped[int | None] = mapped_column(BigInteger)
