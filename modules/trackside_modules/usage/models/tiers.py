"""The counts in their tiers, partitioned by time: minutes by day, hours by month, days by year.

Three families hold the same calls: by endpoint, user and status; by endpoint and status; by user. Hours and days are
made from the tier below (see `rollup`), and what a page reads from which tier is decided in `tiers`.
"""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import ByEndpoint, ByUser, OfUser, env_id


class UsageMinute(ByUser, Base):
    """What one user's calls of one endpoint with one status came to in a minute."""

    __tablename__ = "usage_minute"
    __table_args__ = (
        Index("ix_usage_minute_user_id", "env_id", "user_id", "minute"),
        {"postgresql_partition_by": "RANGE (minute)"},
    )

    minute: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageHour(ByUser, Base):
    """The same of an hour."""

    __tablename__ = "usage_hour"
    __table_args__ = (
        Index("ix_usage_hour_user_id", "env_id", "user_id", "at"),
        Index("ix_usage_hour_endpoint_id", "env_id", "endpoint_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageDay(ByUser, Base):
    """The same of a day (UTC)."""

    __tablename__ = "usage_day"
    __table_args__ = (
        Index("ix_usage_day_user_id", "env_id", "user_id", "at"),
        Index("ix_usage_day_endpoint_id", "env_id", "endpoint_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageEndpointMinute(ByEndpoint, Base):
    """What all calls of an endpoint with one status came to in a minute."""

    __tablename__ = "usage_endpoint_minute"
    __table_args__ = (
        Index("ix_usage_endpoint_minute_endpoint_id", "env_id", "endpoint_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageEndpointHour(ByEndpoint, Base):
    """The same of an hour."""

    __tablename__ = "usage_endpoint_hour"
    __table_args__ = (
        Index("ix_usage_endpoint_hour_endpoint_id", "env_id", "endpoint_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageEndpointDay(ByEndpoint, Base):
    """The same of a day (UTC)."""

    __tablename__ = "usage_endpoint_day"
    __table_args__ = (
        Index("ix_usage_endpoint_day_endpoint_id", "env_id", "endpoint_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageUserHour(OfUser, Base):
    """What all calls of a user came to in an hour."""

    __tablename__ = "usage_user_hour"
    __table_args__ = (
        Index("ix_usage_user_hour_user_id", "env_id", "user_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageUserDay(OfUser, Base):
    """The same of a day (UTC)."""

    __tablename__ = "usage_user_day"
    __table_args__ = (
        Index("ix_usage_user_day_user_id", "env_id", "user_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    at: Mapped[datetime] = mapped_column(primary_key=True, sort_order=-8)


class UsageDirty(Base):
    """An hour or day whose tier below changed since it was last made; `number` is the fold that changed it last."""

    __tablename__ = "usage_dirty"

    env_id: Mapped[int] = env_id()
    tier: Mapped[str] = mapped_column(primary_key=True)
    """`hour` or `day`; `minute` for an hour whose minutes by endpoint are to be made of those by user."""
    at: Mapped[datetime] = mapped_column(primary_key=True)
    number: Mapped[int]


class UsageHorizon(Base):
    """What is older than this is no longer in the minutes, or the hours: kept by the retention alone."""

    __tablename__ = "usage_horizon"

    tier: Mapped[str] = mapped_column(primary_key=True)
    """`minute` or `hour`."""
    kept_from: Mapped[datetime]
