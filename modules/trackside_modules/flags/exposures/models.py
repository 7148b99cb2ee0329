"""Tables of exposures."""

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Exposure(Base):
    """That a user was given a variant, and when first. Kept exactly: one row for each flag, variant and user."""

    __tablename__ = "flags_exposure"
    __table_args__ = (
        PrimaryKeyConstraint("env_id", "flag_id", "variant", "user_id", "of_account", name="pk_flags_exposure"),
        Index("ix_flags_exposure_user_id", "user_id"),
        Index("ix_flags_exposure_account_id", "account_id"),
        Index("ix_flags_exposure_first_seen", "env_id", "flag_id", "first_seen"),
    )

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    flag_id: Mapped[int] = mapped_column(ForeignKey("flags_flag.id", ondelete="CASCADE"))
    variant: Mapped[str]
    user_id: Mapped[int] = mapped_column(BigInteger)
    """0 where only the account is known."""
    of_account: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The account where the user is not known, else 0: so each user has one row, and so has each account alone."""
    account_id: Mapped[int | None] = mapped_column(BigInteger)
    """The account that was given with the user, else theirs at that time."""
    first_seen: Mapped[datetime]


class ExposureDay(Base):
    """How often a variant was evaluated on a day (UTC), and when last."""

    __tablename__ = "flags_exposure_day"
    __table_args__ = (PrimaryKeyConstraint("env_id", "flag_id", "variant", "day", name="pk_flags_exposure_day"),)

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    flag_id: Mapped[int] = mapped_column(ForeignKey("flags_flag.id", ondelete="CASCADE"))
    variant: Mapped[str]
    day: Mapped[date]
    evaluations: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]


class ExposureBatch(Base):
    """That a batch was accepted, and until it is counted what is in it. The name is kept 30 days, to know a repeat."""

    __tablename__ = "flags_exposure_batch"
    __table_args__ = (
        PrimaryKeyConstraint("env_id", "batch", name="pk_flags_exposure_batch"),
        Index(
            "ix_flags_exposure_batch_waiting",
            "env_id",
            "received_at",
            postgresql_where=text("body is not null and dead_at is null"),
        ),
        Index("ix_flags_exposure_batch_received_at", "received_at"),
    )

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"))
    batch: Mapped[bytes] = mapped_column(LargeBinary)
    """What identifies it: the number of a spool file, or a hash of the sender's key and id."""
    received_at: Mapped[datetime]
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    """How its sender was answered: JSON."""
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The exposures; None once they are counted."""
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    dead_at: Mapped[datetime | None]
    """When it was set aside, since it could not be counted."""
    error: Mapped[str | None]
