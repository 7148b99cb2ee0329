"""The ruleset of an environment: all that the engine needs to know, as one document with a version.

    {"schema": 1, "environment": "production", "version": 42, "flags": {KEY: FLAG}, "segments": {NAME: ...}}

Every change locks the row of `flags_environment` first, so versions follow each other without gaps or doubles, and two
edits never pass each other. The ETag is made of the content, so it survives restarts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside.events import announce
from trackside.ports import Segments, port_of
from trackside.workspace import Environment
from trackside_modules.flags import shape
from trackside_modules.flags.events import RulesetChanged
from trackside_modules.flags.models import Flag, FlagsEnvironment, State

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Built:
    """A ruleset as it is handed out."""

    body: bytes
    """JSON."""
    version: int
    etag: str
    """SHA-256 of the body, in hexadecimal."""


def settle(session: Session) -> None:
    """Let all that `session` reads be of one moment: a version and the flags that belong to it."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def build(session: Session, env_id: int) -> Built:
    """Return the ruleset of an environment as it is committed (or about to be, in this transaction)."""
    row = session.get(FlagsEnvironment, env_id, populate_existing=True) or lock(session, [env_id])[0]
    return _encoded(session, row)


def definition(flag: Flag | Any) -> dict[str, Any]:
    """Return a flag's own part of the ruleset's FLAG, of the flag or of a row that has its columns."""
    return {
        "type": flag.type,
        "salt": flag.salt,
        "variants": flag.variants,
        "hash": flag.hash,
        "metadata": flag.facts,
    }


def flags(session: Session, env_id: int) -> dict[str, dict[str, Any]]:
    """Return every FLAG of an environment by key; archived ones are none."""
    # columns, not objects: they are made 50 at a time, of which nothing is to be changed
    query = (
        select(Flag.key, Flag.type, Flag.salt, Flag.variants, Flag.hash, Flag.facts, State.config)
        .join(State, State.flag_id == Flag.id)
        .where(State.env_id == env_id, Flag.archived_at.is_(None))
        .order_by(Flag.key)
    )
    rows: Iterable[Any] = session.execute(query)
    return {row.key: shape.compose(definition(row), row.config) for row in rows}


def lock(session: Session, env_ids: Collection[int] | None = None) -> list[FlagsEnvironment]:
    """Return the locked rows of `env_ids` (None: of all environments), in order; made where they are missing.

    A new environment begins with every flag, off.
    """
    _make_missing(session)
    it = FlagsEnvironment
    query = select(it).order_by(it.env_id).with_for_update().execution_options(populate_existing=True)
    return list(session.scalars(query if env_ids is None else query.where(it.env_id.in_(env_ids))))


def bump(session: Session, rows: Collection[FlagsEnvironment], *, now: datetime) -> None:
    """Count the versions of locked `rows` up after a change, and let everybody know once it is committed."""
    session.flush()
    for row in rows:
        row.version += 1
        row.updated_at = now
        row.etag = _encoded(session, row).etag
        announce(session, RulesetChanged(now, env_id=row.env_id, version=row.version, etag=row.etag))
    session.flush()


def segments(session: Session, env_id: int) -> Mapping[str, Any]:
    """Return the segments that rules may name, by name; none where no module provides them."""
    provider = port_of(session, Segments)  # type: ignore[type-abstract]
    return provider.named(session, env_id) if provider is not None else {}


def _encoded(session: Session, row: FlagsEnvironment) -> Built:
    slug = session.scalar(select(Environment.slug).where(Environment.id == row.env_id))
    document = {
        "schema": SCHEMA,
        "environment": slug,
        "version": row.version,
        "flags": flags(session, row.env_id),
        "segments": segments(session, row.env_id),
    }
    # PostgreSQL keeps objects in an order of its own: sorted, the same content is the same text before and after
    body = msgspec.json.encode(document, order="deterministic")
    return Built(body, row.version, sha256(body).hexdigest())


def _make_missing(session: Session) -> None:
    it = FlagsEnvironment
    missing = session.scalars(
        select(Environment).where(Environment.id.not_in(select(it.env_id))).order_by(Environment.id)
    ).all()
    if missing:
        # whoever makes a flag at this moment ends first: it is seen then, and begins here too
        session.execute(select(it.env_id).with_for_update())
    for environment in missing:
        row = {"env_id": environment.id, "etag": "", "updated_at": environment.created_at}
        made = session.execute(insert(it).values(row).on_conflict_do_nothing())
        if made.rowcount:  # type: ignore[attr-defined]
            _begin(session, environment)


def _begin(session: Session, environment: Environment) -> None:
    at = environment.created_at
    for flag in session.scalars(select(Flag)):
        config = shape.base_config(flag.variants)
        state = State(env_id=environment.id, flag_id=flag.id, config=config, updated_at=at, updated_by="", since=at)
        session.add(state)
    session.flush()
