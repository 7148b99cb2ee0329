"""What pages of patterns remember of hours and weeks that are over."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id


class UsagePulse(Base):
    """All calls of a service, or of all of them, in an hour or week; made again wherever it is missing (see `pulse`).

    The row of all services (`service` empty) is there for every hour and week made, the empty ones too.
    """

    __tablename__ = "usage_pulse"

    env_id: Mapped[int] = env_id()
    unit: Mapped[str] = mapped_column(primary_key=True)
    """`hour` or `week` (from Monday, UTC)."""
    service: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    calls: Mapped[int]
    server_errors: Mapped[int]
    users: Mapped[bytes] = mapped_column(LargeBinary)
    """Who called, see `reach`."""
