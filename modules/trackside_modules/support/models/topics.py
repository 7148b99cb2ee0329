"""What interactions are about: a tree."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Topic(Base):
    """A topic; one without a parent is at the top."""

    __tablename__ = "support_topic"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("support_topic.id"), index=True)
    path: Mapped[str] = mapped_column(unique=True)
    """What is typed for it: slugs from the top down, `billing/invoices`."""
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("support_topic.id"), index=True)
    """The topic that stands for it now: never itself a merged one."""
    archived_at: Mapped[datetime | None]
    """Since when it is not offered any more."""
    created_at: Mapped[datetime]


class TopicAlias(Base):
    """Another word for a topic."""

    __tablename__ = "support_topic_alias"

    alias: Mapped[str] = mapped_column(primary_key=True)
    """A slug, as in a path; it is no topic's path."""
    topic_id: Mapped[int] = mapped_column(ForeignKey("support_topic.id"), index=True)
