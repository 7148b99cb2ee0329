"""Where users were last seen, and which endpoint followed which."""

from datetime import date

from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base
from trackside_modules.usage.models.columns import env_id


class UsageTrailLast(Base):
    """The last request of a user that is known one by one; `at` in milliseconds since 1970. Kept for a day."""

    __tablename__ = "usage_trail_last"

    env_id: Mapped[int] = env_id()
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[int]
    endpoint_id: Mapped[int]


class UsageFollow(Base):
    """How many requests of a day followed one of another endpoint by the same user (see `follow`)."""

    __tablename__ = "usage_follow"

    env_id: Mapped[int] = env_id()
    day: Mapped[date] = mapped_column(primary_key=True)
    from_endpoint: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    to_endpoint: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    calls: Mapped[int]
