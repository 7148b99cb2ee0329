"""What members set up for their work: macros and saved views."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Macro(Base):
    """A reply, and what is done with it, at one keystroke; shared unless it has an owner."""

    __tablename__ = "support_macro"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    """Whose own it is; None: everybody's."""
    body: Mapped[str] = mapped_column(server_default="")
    """Markdown with variables: `{{user.name}}`."""
    acts: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """What else it does: `{"status": "solved", "add_tags": ["key"]}`."""
    position: Mapped[int] = mapped_column(server_default="0")
    """Its place among the shared ones, or among its owner's."""
    archived_at: Mapped[datetime | None]
    """Since when it is offered no more."""
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime]


class SavedView(Base):
    """A search with a name; shared unless it has an owner."""

    __tablename__ = "support_view"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    query: Mapped[str]
    """As it is typed: `status:open topic:auth assignee:me`."""
    sort: Mapped[str] = mapped_column(server_default="updated")
    position: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime]
