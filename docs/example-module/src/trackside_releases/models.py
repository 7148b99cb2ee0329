"""The table of releases."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Release(Base):
    """A version of the API that went live in an environment."""

    __tablename__ = "releases_release"

    env_id: Mapped[int] = mapped_column(ForeignKey("environment.id"), primary_key=True)
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    version: Mapped[str]
