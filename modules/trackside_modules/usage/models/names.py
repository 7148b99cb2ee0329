"""What the numbers stand for: endpoints, and versions of services."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id

UNMATCHED, OTHER = "(unmatched)", "(other)"
"""Routes that stand for what matched none, and for those beyond what one environment may have."""


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

    env_id: Mapped[int] = env_id()
    service: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    first_seen_at: Mapped[datetime]
