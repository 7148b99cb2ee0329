"""Tables of the customers room: accounts, users, and the tombstones of the erased."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from trackside.db import Base

UNKNOWN_USER = 0
"""Id of the user that stands for everyone unknown: no id sent, an id that is refused, or one that was erased."""

SOURCES = ("usage", "import", "manual", "api", "demo")
"""How an account or user came to be known: seen in telemetry, read from a file, typed, sent to the API, or demo."""

_TRIGRAMS = "gin_trgm_ops"


class Account(Base):
    """A customer (company) of the API."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("external_id is not null or erased_at is not null", name="has_identity"),
        Index(
            "ix_account_search",
            "external_id",
            "name",
            postgresql_using="gin",
            postgresql_ops={"external_id": _TRIGRAMS, "name": _TRIGRAMS},
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    external_id: Mapped[str | None] = mapped_column(unique=True)
    """The id that the API uses; None once erased."""
    name: Mapped[str] = mapped_column(server_default="")
    plan: Mapped[str] = mapped_column(server_default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """Texts by key: segment, country, whatever helps to know the customer."""
    source: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    """Goes up with each edit; an edit of an older version is refused."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    first_seen: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    """The account this one was merged into: never itself a merged one, so following it once is enough."""
    erased_at: Mapped[datetime | None]

    @property
    def label(self) -> str:
        """What people call it: name, else id."""
        return self.name or self.external_id or f"Erased account {self.id}"


class User(Base):
    """A person or key of an account, known by the `external_id` that the API uses."""

    __tablename__ = "customer_user"
    __table_args__ = (
        CheckConstraint("external_id is not null or erased_at is not null", name="has_identity"),
        Index(
            "ix_customer_user_search",
            "external_id",
            "email",
            "name",
            postgresql_using="gin",
            postgresql_ops={"external_id": _TRIGRAMS, "email": _TRIGRAMS, "name": _TRIGRAMS},
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    external_id: Mapped[str | None] = mapped_column(unique=True)
    """The id that the API uses; None once erased, empty only for the unknown user."""
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    email: Mapped[str] = mapped_column(server_default="")
    name: Mapped[str] = mapped_column(server_default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    source: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    first_seen: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]
    """The last call, late by at most `resolve.TOUCH_EVERY`."""
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("customer_user.id"), index=True)
    erased_at: Mapped[datetime | None]

    account: Mapped[Account | None] = relationship(foreign_keys=[account_id])

    @property
    def label(self) -> str:
        """What people call them: name, else email, else id."""
        return self.name or self.email or self.external_id or f"Erased user {self.id}"


class Tombstone(Base):
    """The salted hash of an erased id, so that telemetry that still carries it does not bring the person back."""

    __tablename__ = "customer_tombstone"

    kind: Mapped[str] = mapped_column(primary_key=True)
    """`user` or `account`, of ids; `address`: of an e-mail address in lower case."""
    hash: Mapped[bytes] = mapped_column(primary_key=True)
    """SHA-256 of the workspace's salt and the id."""
    erased_at: Mapped[datetime]


class Upload(Base):
    """A file on its way in, between upload and import; gone once imported, after a day, or when anyone is erased."""

    __tablename__ = "customer_upload"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    """`user` or `account`."""
    filename: Mapped[str]
    content: Mapped[str]
    """The file as text, whatever encoding it came in."""
    encoding: Mapped[str]
    member_id: Mapped[int]
    """Who uploaded it: nobody else sees it."""
    created_at: Mapped[datetime]
