"""What pages remember of hours, days and weeks that are over, so that a quarter is some twenty rows of each endpoint.

All of it can be made again from the tiers (see `memory`).
"""

from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id


class UsageRemembered(Base):
    """An hour, day or week that sums and crowds were made of; `fresh` while they are what the tiers hold."""

    __tablename__ = "usage_remembered"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    """`hour`, `day`, or `week` (from Monday, UTC)."""
    at: Mapped[datetime] = mapped_column(primary_key=True)
    fresh: Mapped[bool]
    made_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    """When, by the database's clock: what a process holds of it is true for as long as this is the same."""


class UsageSum(Base):
    """All calls of an endpoint in an hour, day or week, whatever their status; columns as in the tiers.

    Endpoint 0 is all endpoints.
    """

    __tablename__ = "usage_sum"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    calls: Mapped[int]
    client_errors: Mapped[int]
    server_errors: Mapped[int]
    slow: Mapped[int]
    approximate: Mapped[bool]
    latency: Mapped[bytes] = mapped_column(LargeBinary)
    users: Mapped[bytes] = mapped_column(LargeBinary)


class UsageCrowd(Base):
    """Everybody who called in an hour, day or week with the sums of their calls, in one piece (see `crowds.pack`).

    Endpoint 0 is all endpoints; of one endpoint there are days and weeks.
    """

    __tablename__ = "usage_crowd"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    users: Mapped[bytes] = mapped_column(LargeBinary)


class UsageFailure(Base):
    """The calls of an endpoint in an hour, day or week that ended with a status of 400 or more, and who made them.

    Status 0 is all of those together.
    """

    __tablename__ = "usage_failure"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    status: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    calls: Mapped[int]
    users: Mapped[bytes] = mapped_column(LargeBinary)


class UsageTurn(Base):
    """Everybody's wrong turns in an hour, day or week at one service, in one piece (see `turns.pack`)."""

    __tablename__ = "usage_turn"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    turns: Mapped[bytes] = mapped_column(LargeBinary)


class UsageErrorSum(Base):
    """How often an error came in a day or week, and who met it."""

    __tablename__ = "usage_error_sum"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    error_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    calls: Mapped[int]
    users: Mapped[bytes] = mapped_column(LargeBinary)


class UsagePiece(Base):
    """A minute of the last hours, as pages read it; true while its version is the same (see `minutes`)."""

    __tablename__ = "usage_piece"

    env_id: Mapped[int] = env_id()
    what: Mapped[str] = mapped_column(primary_key=True)
    """`crowd` or `turns`."""
    at: Mapped[datetime] = mapped_column(primary_key=True)
    calls: Mapped[int]
    hashed: Mapped[int]
    piece: Mapped[bytes] = mapped_column(LargeBinary)
