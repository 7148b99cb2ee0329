"""The audit log: who changed what and when, written in the transaction of the change itself.

    audit(session, actor, "key.revoked", "key", key.id, key.name, env_id=key.env_id)

Every area calls it for what an owner may later ask about. Entries are never changed or deleted (the database refuses
it), so `changes` holds no secret and nothing personal of a customer: an erased user must not live on in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from trackside.auth.models import AuditEntry
from trackside.auth.principal import KeyPrincipal


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a member, an API key, or Trackside itself."""

    name: str
    """As they are called now; the log keeps it."""
    member_id: int | None = None
    key_id: int | None = None
    address: str | None = None
    request_id: str | None = None


COMMAND_LINE = Actor("command line")
"""Whoever has a shell on the server."""

SYSTEM = Actor("Trackside")
"""What happens by itself: a schedule, the demo."""


def key_actor(key: KeyPrincipal, address: str | None = None, request_id: str | None = None) -> Actor:
    """Return the API key `key` as an actor."""
    return Actor(f"key {key.name}", key_id=key.key_id, address=address, request_id=request_id)


def audit(  # noqa: PLR0917 - who, did what, to what: read like a sentence
    session: Session,
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: int | str,
    object_name: str = "",
    *,
    at: datetime,
    env_id: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Write that `actor` did `action` (`<object>.<what happened>`) to an object.

    `changes` maps a field to `[before, after]`, or to a single plain value where there is nothing to compare.
    """
    session.add(
        AuditEntry(
            at=at,
            member_id=actor.member_id,
            key_id=actor.key_id,
            actor=actor.name,
            action=action,
            object_kind=object_kind,
            object_id=str(object_id),
            object_name=object_name,
            env_id=env_id,
            changes=dict(changes or {}),
            address=actor.address,
            request_id=actor.request_id,
        )
    )
