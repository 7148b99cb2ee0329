"""Tables of members, their sessions and links, API keys and the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Identity, Index, PrimaryKeyConstraint, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Member(Base):
    """Somebody of the staff, who signs in."""

    __tablename__ = "member"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    """Lower case, as `people.clean_email` makes it."""
    name: Mapped[str]
    role: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    password_hash: Mapped[str | None]
    """argon2id; None until the member has set one."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]


class MemberSession(Base):
    """A browser that is signed in. Gone when the row is gone."""

    __tablename__ = "member_session"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    """SHA-256 of the random token in the cookie."""
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """Written at most once a minute."""
    user_agent: Mapped[str]
    address: Mapped[str]


class MemberLink(Base):
    """A link that works once: a first sign-in, an invitation or a password reset."""

    __tablename__ = "member_link"
    __table_args__ = (Index("ix_member_link_purpose_created_at", "purpose", "created_at"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    purpose: Mapped[str]
    """`sign-in`, `invitation` or `reset`."""
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"))
    """Whom it signs in; None for an invitation."""
    email: Mapped[str | None]
    role: Mapped[str | None]
    direct: Mapped[bool] = mapped_column(server_default="false")
    """Sign in at once, without asking for a password first: the demo's owner."""
    created_by: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    """When it was used or revoked; it never works after."""


class SignInThrottle(Base):
    """Sign-ins that failed of late, by account and by address."""

    __tablename__ = "sign_in_throttle"

    key: Mapped[str] = mapped_column(primary_key=True)
    """`account:` or `address:` and a hash, so that the table tells nothing."""
    failures: Mapped[int]
    last_at: Mapped[datetime]


class ApiKey(Base):
    """What a program shows to be let in. The secret itself is shown once and stored nowhere."""

    __tablename__ = "api_key"
    __table_args__ = (
        PrimaryKeyConstraint("env_id", "id", name="pk_api_key"),
        UniqueConstraint("env_id", "public_id"),
        ForeignKeyConstraint(["env_id", "replaces_id"], ["api_key.env_id", "api_key.id"], name="fk_api_key_replaces"),
    )

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    id: Mapped[int] = mapped_column(Identity(always=True))
    public_id: Mapped[str]
    """The part of the key that tells which one it is: base62."""
    kind: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(server_default="[]")
    secret_hash: Mapped[bytes]
    """SHA-256 of the secret part."""
    created_by: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """Right to about a minute."""
    replaces_id: Mapped[int | None]
    """The key this one was rotated from; both live until the older expires."""


class ApiKeyVersion(Base):
    """One row that a trigger counts up with each change of a key: what every process polls."""

    __tablename__ = "api_key_version"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


class AuditEntry(Base):
    """Who changed what and when. Insert-only: the database refuses the rest."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_member_id_id", "member_id", "id"),
        Index("ix_audit_entry_object_kind_object_id_id", "object_kind", "object_id", "id"),
        Index("ix_audit_entry_action_id", "action", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    member_id: Mapped[int | None]
    key_id: Mapped[int | None]
    actor: Mapped[str]
    """Who it was, as they were called then."""
    action: Mapped[str]
    """`<object>.<what happened>`, e.g. `key.revoked`."""
    object_kind: Mapped[str]
    object_id: Mapped[str]
    object_name: Mapped[str]
    """What it was called then."""
    env_id: Mapped[int | None]
    changes: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    address: Mapped[str | None]
    request_id: Mapped[str | None]
