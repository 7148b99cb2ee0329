"""Mails that came in, as they came: what went wrong with one can be seen, and done again."""

from datetime import datetime

from sqlalchemy import Identity, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Mail(Base):
    """A mail that came in. Its Message-ID is unique: one that comes again changes nothing."""

    __tablename__ = "support_mail"
    __table_args__ = (
        Index("ix_support_mail_sender", "sender", "received_at"),
        Index("ix_support_mail_unjoined", "received_at", postgresql_where=text("interaction_id is null")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    message_id: Mapped[str] = mapped_column(unique=True)
    """As the mail says, else made of its bytes."""
    received_at: Mapped[datetime]
    sender: Mapped[str] = mapped_column(server_default="")
    """Their address, in lower case."""
    outcome: Mapped[str] = mapped_column(server_default="waiting")
    """What became of it: see `service.mails`."""
    interaction_id: Mapped[int | None] = mapped_column(index=True)
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    """RFC 822; None once its customer was erased."""
