"""What happened to interactions, and what was known of their customer when they were logged: never changed after."""

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class EventRow(Base):
    """Something that happened to an interaction. Insert-only: the database refuses the rest, but for an erasure."""

    __tablename__ = "support_event"
    __table_args__ = (UniqueConstraint("interaction_id", "seq"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    interaction_id: Mapped[int]
    seq: Mapped[int]
    """1, 2, 3 ... within its interaction."""
    at: Mapped[datetime]
    """When it happened; within an interaction it never goes back."""
    recorded_at: Mapped[datetime]
    """When Trackside was told."""
    kind: Mapped[str]
    """See `history.events`, which also says what `data` of each kind is."""
    member_id: Mapped[int | None]
    user_id: Mapped[int | None]
    """The customer, where it was them."""
    key_id: Mapped[int | None]
    """With neither of the three it was Trackside itself."""
    data: Mapped[dict[str, Any]]


class FrozenContext(Base):
    """What the context cards said of the customer when the interaction was logged; not a cache."""

    __tablename__ = "support_context"

    interaction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[dict[str, Any]]
    """See `service.contexts`."""
