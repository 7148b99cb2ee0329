"""Who sends what, and which requests wait to be told apart from what metrics count."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id


class UsageSource(Base):
    """One signal (metrics, traces, logs, events) of a service: by what it is sent, and what is missing from it."""

    __tablename__ = "usage_source"

    env_id: Mapped[int] = env_id()
    service: Mapped[str] = mapped_column(primary_key=True)
    signal: Mapped[str] = mapped_column(primary_key=True)
    sdk: Mapped[str]
    language: Mapped[str]
    version: Mapped[str]
    distro: Mapped[str]
    scope: Mapped[str]
    points: Mapped[int]
    without_user: Mapped[int]
    without_route: Mapped[int]
    approximate: Mapped[int]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class UsageInstance(Base):
    """A process of a service, and how far its clock is from this server's: its newest time minus its arrival."""

    __tablename__ = "usage_instance"
    __table_args__ = (Index("ix_usage_instance_last_seen_at", "last_seen_at"),)

    env_id: Mapped[int] = env_id()
    service: Mapped[str] = mapped_column(primary_key=True)
    instance: Mapped[str] = mapped_column(primary_key=True)
    skew_ms: Mapped[int]
    """Of the last batch; below 0 by what sending takes."""
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class UsageCoverage(Base):
    """Up to when a service's requests are counted by its spans, and from when on by its metrics (nanoseconds)."""

    __tablename__ = "usage_coverage"

    env_id: Mapped[int] = env_id()
    service: Mapped[str] = mapped_column(primary_key=True)
    spans_since: Mapped[datetime | None]
    counted_to: Mapped[int] = mapped_column(BigInteger, server_default="0")
    covered_from: Mapped[int | None] = mapped_column(BigInteger)
    covered_to: Mapped[int | None] = mapped_column(BigInteger)
    metrics_at: Mapped[datetime | None]


class UsageHeld(Base):
    """Requests that spans tell of, kept until it is clear whether metrics count them."""

    __tablename__ = "usage_held"
    __table_args__ = (Index("ix_usage_held_service", "env_id", "service"),)

    env_id: Mapped[int] = env_id()
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    service: Mapped[str]
    received_at: Mapped[datetime]
    newest: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class UsageRoute(Base):
    """An endpoint that a service said it has, whether or not anybody ever called it."""

    __tablename__ = "usage_route"

    env_id: Mapped[int] = env_id()
    service: Mapped[str] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    told_at: Mapped[datetime]
