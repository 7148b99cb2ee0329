"""Tables of rate limits: what is allowed to whom, and who came near it.

The counters themselves are in Redis (`counters`): losing them starts every window anew and loses none of these.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, PrimaryKeyConstraint, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class UsageQuota(Base):
    """A limit of a policy for whom it is meant: everyone (`default`), a plan, an account or a user."""

    __tablename__ = "usage_quota"
    __table_args__ = (
        PrimaryKeyConstraint("env_id", "id", name="pk_usage_quota"),
        UniqueConstraint(
            "env_id",
            "policy",
            "scope",
            "plan",
            "account_id",
            "user_id",
            name="uq_usage_quota_whom",
            postgresql_nulls_not_distinct=True,
        ),
    )

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    id: Mapped[int] = mapped_column(Identity(always=True))
    policy: Mapped[str]
    scope: Mapped[str]
    """`default`, `plan`, `account` or `user`: the later, the more specific."""
    plan: Mapped[str] = mapped_column(server_default="")
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("customer_user.id", ondelete="CASCADE"))
    shared_by: Mapped[str]
    """`account`: its users share one count; `user`: each has their own."""
    counts: Mapped[str]
    """`checks`: what `POST /v1/quota/check` was asked; `requests`: what usage counted."""
    kind: Mapped[str]
    """`window` or `gcra`."""
    amount: Mapped[int]
    seconds: Mapped[int]
    """The window's length, or the period in which `amount` comes back."""
    burst: Mapped[int]
    """Of GCRA: how much may be used at once; 0 for windows."""
    version: Mapped[int] = mapped_column(server_default="1")
    """Goes up with each edit; an edit of an older version is refused."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class UsageQuotaVersion(Base):
    """One row that goes up with each change of a limit: what every process polls."""

    __tablename__ = "usage_quota_version"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


class UsageQuotaCrossing(Base):
    """That a count reached 80, 90 or 100 % of its limit: once for each window and level; kept 30 days."""

    __tablename__ = "usage_quota_crossing"
    __table_args__ = (
        PrimaryKeyConstraint("env_id", "id", name="pk_usage_quota_crossing"),
        UniqueConstraint("env_id", "quota_id", "member", "window_start", "level", name="uq_usage_quota_crossing_once"),
        Index("ix_usage_quota_crossing_at", "env_id", "at", "id"),
    )

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    id: Mapped[int] = mapped_column(Identity(always=True))
    quota_id: Mapped[int]
    """The limit, which may be gone since."""
    policy: Mapped[str]
    member: Mapped[str]
    """Whose count it is: `a7`, `u42`, or `x` and a hash for an id that Trackside does not know."""
    account_id: Mapped[int | None]
    user_id: Mapped[int | None]
    level: Mapped[int] = mapped_column(SmallInteger)
    window_start: Mapped[datetime]
    used: Mapped[int]
    amount: Mapped[int]
    at: Mapped[datetime]
