"""The workspace and its environments: production, staging and the like.

Everything that belongs to an environment leads its primary key with `env_id`. Environments are few and never deleted.
"""

from datetime import datetime

from sqlalchemy import Identity, bindparam, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from trackside.compiled import Compiled
from trackside.db import Base
from trackside.errors import NotFound


class Environment(Base):
    """A place where the customer's API runs; keys, usage and flag rules belong to one."""

    __tablename__ = "environment"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    position: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WorkspaceFact(Base):
    """A small fact about the whole workspace, by key: its name, a dismissed checklist, the demo's state."""

    __tablename__ = "workspace_fact"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


# Composed once: each page asks them.
_ENVIRONMENTS = Compiled(select(*Environment.__table__.c).order_by(Environment.position, Environment.id))
_FACT = select(WorkspaceFact.value).where(WorkspaceFact.key == bindparam("key"))

DEFAULT_ENVIRONMENTS = (("production", "Production"), ("staging", "Staging"))


def seed_workspace(session: Session) -> None:
    """Make the first environments, where there are none."""
    if not environments(session):
        session.add_all(
            Environment(slug=slug, name=name, position=position)
            for position, (slug, name) in enumerate(DEFAULT_ENVIRONMENTS)
        )
        session.flush()


def environments(session: Session) -> list[Environment]:
    """Return every environment, in the order they are shown: plain values, that belong to no session."""
    return [Environment(**row._mapping) for row in _ENVIRONMENTS(session)]


def environment_by_slug(session: Session, slug: str) -> Environment:
    """Return the environment called `slug`; raises NotFound, naming those there are."""
    found = session.scalar(select(Environment).where(Environment.slug == slug))
    if found is None:
        names = ", ".join(each.slug for each in environments(session)) or "none yet"
        raise NotFound(f"There is no environment {slug!r}; there are: {names}")
    return found


def fact(session: Session, key: str) -> str | None:
    """Return the workspace fact `key`, or None."""
    return session.scalar(_FACT, {"key": key})


def set_fact(session: Session, key: str, value: str) -> None:
    """Keep `value` as the workspace fact `key`."""
    session.merge(WorkspaceFact(key=key, value=value))
