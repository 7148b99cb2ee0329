"""What interactions are now: a cache of their events, so nothing refers to it by a foreign key."""

from datetime import datetime

from sqlalchemy import Identity, Index, Text, false, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.support import words

ACTIVE = "status in ('new', 'open', 'waiting_customer', 'waiting_dev') and merged_into is null"
"""What `words.ACTIVE` is to PostgreSQL: an index holds those alone, and is used where a query says so, as it is."""


class Interaction(Base):
    """One support contact, as it is now. Its id is the number that people read: `SUP-123`."""

    __tablename__ = "support_interaction"
    __table_args__ = (
        Index("ix_support_interaction_updated_at", "updated_at", "id"),
        Index("ix_support_interaction_occurred_at", "occurred_at", "id"),
        Index(
            "ix_support_interaction_created_at",
            "created_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": "on", "pages_per_range": 32},
        ),
        Index("ix_support_interaction_user_id", "user_id", "updated_at"),
        Index("ix_support_interaction_account_id", "account_id", "updated_at"),
        Index("ix_support_interaction_topic_id", "topic_id", "updated_at"),
        Index("ix_support_interaction_assignee_id", "assignee_id", "updated_at"),
        Index("ix_support_interaction_tags", "tags", postgresql_using="gin"),
        Index(
            "ix_support_interaction_active",
            "status",
            "assignee_id",
            "snooze_until",
            "updated_at",
            "id",
            postgresql_where=text(ACTIVE),
        ),
        Index(
            "uq_support_interaction_external_ref",
            "source",
            "external_ref",
            unique=True,
            postgresql_where=text("external_ref is not null"),
        ),
        Index(
            "ix_support_interaction_waiting_since",
            "waiting_since",
            "id",
            postgresql_where=text("waiting_since is not null"),
        ),
        Index("ix_support_interaction_merged_into", "merged_into", postgresql_where=text("merged_into is not null")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    user_id: Mapped[int | None]
    account_id: Mapped[int | None]
    env_id: Mapped[int | None]
    """The environment whose context was frozen; an interaction belongs to the workspace."""
    subject: Mapped[str]
    kind: Mapped[str]
    topic_id: Mapped[int | None]
    channel: Mapped[str]
    direction: Mapped[str]
    """`in`: the customer came to us; `out`: we came to them."""
    status: Mapped[str]
    priority: Mapped[str]
    assignee_id: Mapped[int | None]
    snooze_until: Mapped[datetime | None]
    """Out of sight until then; a message of the customer ends it earlier."""
    waiting_since: Mapped[datetime | None]
    """Since when the customer waits for us; None while they do not."""
    occurred_at: Mapped[datetime]
    created_at: Mapped[datetime]
    """When it was logged."""
    updated_at: Mapped[datetime]
    """When something last happened to it."""
    solved_at: Mapped[datetime | None]
    """Since when it is solved or closed."""
    first_reply_at: Mapped[datetime | None]
    """The first public message of a human of ours."""
    last_message_at: Mapped[datetime | None]
    last_customer_at: Mapped[datetime | None]
    last_staff_at: Mapped[datetime | None]
    messages: Mapped[int]
    reopens: Mapped[int]
    """How often the customer came back after it was solved."""
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    source: Mapped[str]
    """How it came: `web`, `command line`, `api`, `mail`, `csv`, `zendesk`, `demo` ..."""
    external_ref: Mapped[str | None]
    """Its id where it came from; unique with `source`."""
    merged_into: Mapped[int | None]
    erased: Mapped[bool] = mapped_column(server_default=false())
    """Whether its customer was erased, and its words with them."""
    excerpt: Mapped[str]
    """The beginning of the last message, on one line."""
    csat: Mapped[int | None]
    """The customer's rating, 1 to 5."""
    version: Mapped[int]
    """The seq of its last event: what If-Match compares."""

    @property
    def ref(self) -> str:
        """What people call it: `SUP-123`."""
        return words.ref(self.id)


class Link(Base):
    """What an interaction is linked to: an address in a tracker, a flag, another interaction. A cache as well."""

    __tablename__ = "support_link"
    __table_args__ = (Index("ix_support_link_kind_ref", "kind", "ref"),)

    interaction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)
    """`url`, `flag` or `interaction`."""
    ref: Mapped[str] = mapped_column(primary_key=True)
    """The address, the flag's key, or the other interaction's number."""
    title: Mapped[str] = mapped_column(server_default="")
    linked_at: Mapped[datetime]
    shipped_at: Mapped[datetime | None]
    """When the work was delivered."""
    told_at: Mapped[datetime | None]
    """When the customer was told."""
