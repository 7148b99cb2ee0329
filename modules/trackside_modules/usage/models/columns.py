"""Columns that many tables of usage share."""

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, SmallInteger, false, text
from sqlalchemy.orm import Mapped, mapped_column


def env_id() -> Mapped[int]:
    """Return the column that leads the key of everything that belongs to an environment."""
    return mapped_column(ForeignKey("environment.id"), primary_key=True)


class Counted:
    """What calls came to: times in microseconds, `latency` a packed histogram (see `histogram.pack`)."""

    calls: Mapped[int]
    micros: Mapped[int]
    longest: Mapped[int]
    latency: Mapped[bytes] = mapped_column(LargeBinary)
    slow: Mapped[int] = mapped_column(server_default=text("0"))
    """Calls of more than a second (see `histogram.slow`)."""


class Measured(Counted):
    """As `Counted`; `approximate` where a source's own buckets were coarser than ours."""

    approximate: Mapped[bool] = mapped_column(server_default=false())


class ByUser(Measured):
    """One user's calls of one endpoint with one status; user 0 is nobody known."""

    env_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-9)
    endpoint_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-3)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-2)
    status: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, sort_order=-1)


class ByEndpoint(Measured):
    """All calls of one endpoint with one status; `users` is the set of who made them (see `reach`)."""

    env_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-9)
    endpoint_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-3)
    status: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, sort_order=-1)
    users: Mapped[bytes] = mapped_column(LargeBinary)


class OfUser(Counted):
    """All that one user called, whatever it was."""

    env_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-9)
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, sort_order=-2)
    client_errors: Mapped[int]
    server_errors: Mapped[int]
    wrong_turns: Mapped[int]
    """Calls of what does not exist, and 401, 403 and 429."""
