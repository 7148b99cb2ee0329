"""Tables of flags: what a flag is, its state in each environment, and all that was ever changed.

A flag belongs to the workspace: its variants and its salt are one. How it is rolled out (its state) belongs to an
environment. `flags_environment` holds the version of an environment's ruleset; whoever changes anything locks it first.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, PrimaryKeyConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.flags.exposures.models import Exposure, ExposureBatch, ExposureDay

__all__ = [
    "Change",
    "Exposure",
    "ExposureBatch",
    "ExposureDay",
    "Flag",
    "FlagsEnvironment",
    "Request",
    "State",
]


class Flag(Base):
    """A flag, in all environments."""

    __tablename__ = "flags_flag"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    """What programs call it: see `keys`."""
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    type: Mapped[str]
    """`boolean`, `string`, `number` or `json`: of every variant's value."""
    kind: Mapped[str]
    """`release`, `experiment`, `ops` or `permission`: what it is for, and so how long it may live."""
    salt: Mapped[str]
    """What users are spread by; it never changes, so that nobody moves who need not."""
    variants: Mapped[dict[str, Any]]
    """Value by name."""
    tags: Mapped[list[str]] = mapped_column(server_default="[]")
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("member.id", ondelete="SET NULL"))
    expected_end: Mapped[datetime | None]
    """When it should be gone."""
    hash: Mapped[dict[str, Any] | None]
    """How an imported flag spreads users; None: as all others."""
    facts: Mapped[dict[str, Any]] = mapped_column("metadata", server_default="{}")
    """The ruleset's `metadata`: texts, numbers and booleans, handed to whoever evaluates."""
    version: Mapped[int] = mapped_column(server_default="1")
    """Goes up with each edit; an edit of an older version is refused."""
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    """Who made it, as they were called then."""
    updated_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]
    """Since when it is in no ruleset any more."""


class State(Base):
    """How a flag is rolled out in an environment."""

    __tablename__ = "flags_state"
    __table_args__ = (
        PrimaryKeyConstraint("env_id", "flag_id", name="pk_flags_state"),
        Index("ix_flags_state_flag_id", "flag_id"),
        Index("ix_flags_state_next_step_at", "next_step_at", postgresql_where=text("next_step_at is not null")),
    )

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    flag_id: Mapped[int] = mapped_column(ForeignKey("flags_flag.id"))
    config: Mapped[dict[str, Any]]
    """The environment's part of the ruleset's flag: see `shape`."""
    version: Mapped[int] = mapped_column(server_default="1")
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    since: Mapped[datetime]
    """Since when it answers as it does: the last edit of its rules, or the last step of its schedule."""
    next_step_at: Mapped[datetime | None]
    """When it changes by itself the next time, by a step of a ramp or its schedule: the history marks it then."""


class Change(Base):
    """That a flag, or its state in an environment, was changed: by whom, why, and how it was before and after.

    Insert-only: the database refuses the rest, but for the erasure of a user's id from `before` and `after`.
    """

    __tablename__ = "flags_change"
    __table_args__ = (
        Index("ix_flags_change_flag_id_id", "flag_id", "id"),
        Index("ix_flags_change_env_id_at", "env_id", "at"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    env_id: Mapped[int | None] = mapped_column(ForeignKey("environment.id"))
    """None for the flag itself, in all environments."""
    flag_id: Mapped[int] = mapped_column(ForeignKey("flags_flag.id"))
    at: Mapped[datetime]
    what: Mapped[str]
    """`created`, `edited`, `reverted`, `promoted`, `applied`, `imported`, `archived`, `restored` or `step`."""
    who: Mapped[str]
    member_id: Mapped[int | None]
    key_id: Mapped[int | None]
    reason: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    version: Mapped[int]
    """Of the flag or the state, after it."""
    request_id: Mapped[int | None] = mapped_column(ForeignKey("flags_request.id"))
    """The change request that it came by."""


class Request(Base):
    """A change that waits for a second member."""

    __tablename__ = "flags_request"
    __table_args__ = (
        Index("ix_flags_request_status_id", "status", "id"),
        Index("ix_flags_request_flag_id_id", "flag_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    env_id: Mapped[int | None] = mapped_column(ForeignKey("environment.id"))
    """None where the flag itself would change, in all environments."""
    flag_id: Mapped[int] = mapped_column(ForeignKey("flags_flag.id"))
    what: Mapped[str]
    """As in `Change`."""
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]
    version: Mapped[int]
    """What it was based on: it is stale once that has changed."""
    reason: Mapped[str]
    status: Mapped[str]
    """`open`, `approved`, `refused`, `withdrawn`, `applied` or `stale`."""
    made_at: Mapped[datetime]
    who: Mapped[str]
    member_id: Mapped[int | None]
    key_id: Mapped[int | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    decided_member_id: Mapped[int | None]
    note: Mapped[str] = mapped_column(server_default="")
    """What the second member said."""
    applied_at: Mapped[datetime | None]


class FlagsEnvironment(Base):
    """The ruleset of an environment: its version, and what a change of it takes."""

    __tablename__ = "flags_environment"

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"), primary_key=True, autoincrement=False)
    demands_approval: Mapped[bool] = mapped_column(server_default=false())
    """Whether a second member must approve each change."""
    version: Mapped[int] = mapped_column(server_default="1")
    """Goes up with each change of what the ruleset holds."""
    etag: Mapped[str]
    """SHA-256 of the ruleset, in hexadecimal."""
    updated_at: Mapped[datetime]
