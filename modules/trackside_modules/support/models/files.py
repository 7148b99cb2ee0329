"""Attachments: the row here, the bytes below the data directory, outside of what the web serves."""

from datetime import datetime

from sqlalchemy import Identity
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base

FOLDER = "files"
"""Where the bytes are, below the data directory."""


class File(Base):
    """A file that somebody attached. Messages name it by its id (`file_ids`)."""

    __tablename__ = "support_file"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    interaction_id: Mapped[int | None] = mapped_column(index=True)
    """None between upload and the message that carries it."""
    sha256: Mapped[str] = mapped_column(index=True)
    """Of its bytes, in hexadecimal: also where they are kept."""
    name: Mapped[str]
    """As it was called, for the download; the path on the disk never holds it."""
    type: Mapped[str]
    """Its media type, as sniffed from its bytes."""
    bytes: Mapped[int]
    member_id: Mapped[int | None]
    created_at: Mapped[datetime]
