"""Trackers and code hosts that tell us of work, and what they told."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base

MERGED, RELEASED = "merge", "release"


class Tracker(Base):
    """A code host or tracker that posts what happens to work."""

    __tablename__ = "support_tracker"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    ships_on: Mapped[str]
    """`merge`: merged work is delivered; `release`: it waits for the next release."""
    salt: Mapped[str]
    """The secret is made of it and of ours (see `trackside.webhooks.signing`)."""
    old_salt: Mapped[str | None]
    old_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    heard_at: Mapped[datetime | None]


class WorkItem(Base):
    """A commit, a request or an issue: what fixes interactions, and all that came to a branch of which one releases."""

    __tablename__ = "support_work"
    __table_args__ = (
        UniqueConstraint("tracker_id", "ref", name="uq_support_work_ref"),
        Index("ix_support_work_repo", "tracker_id", "repo"),
        Index("ix_support_work_sha", "sha", postgresql_where=text("sha <> ''")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    tracker_id: Mapped[int] = mapped_column(ForeignKey("support_tracker.id", ondelete="CASCADE"))
    ref: Mapped[str]
    """Its address."""
    repo: Mapped[str] = mapped_column(server_default="")
    sha: Mapped[str] = mapped_column(server_default="")
    """Of the commit that brought it in, where that is known."""
    numbers: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    """The interactions that it fixes."""
    made_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    """When it was first told."""
    merged_at: Mapped[datetime | None]
    branches: Mapped[dict[str, str]] = mapped_column(JSONB, server_default="{}")
    """When it came to each branch, by its host's clock; the default branch is called ""."""
    tips: Mapped[dict[str, str]] = mapped_column(JSONB, server_default="{}")
    """Of `branches` those that it was the tip of then: a release of its commit has all that came until then."""
    shipped_at: Mapped[datetime | None]


class WorkNews(Base):
    """A delivery of a tracker's and what became of it; one that comes again changes nothing."""

    __tablename__ = "support_work_news"
    __table_args__ = (
        UniqueConstraint("tracker_id", "delivery_id", name="uq_support_work_news_delivery_id"),
        Index("ix_support_work_news_received_at", "received_at"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    tracker_id: Mapped[int] = mapped_column(ForeignKey("support_tracker.id", ondelete="CASCADE"))
    delivery_id: Mapped[str]
    """As the tracker calls it."""
    received_at: Mapped[datetime]
    event: Mapped[str]
    linked: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    shipped: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    unknown: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    """Numbers that it fixes, and that do not exist."""
    why: Mapped[str] = mapped_column(server_default="")
    """Why it delivered nothing, where one could wonder."""
