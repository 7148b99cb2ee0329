"""The API keys that live, as a process holds them: loaded from PostgreSQL, and kept on disk for a start without it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth import keyform
from trackside.auth.models import ApiKey
from trackside.auth.principal import KeyPrincipal
from trackside.settings import Settings
from trackside.snapshot import Snapshots
from trackside.workspace import Environment

log = structlog.get_logger(__name__)
SNAPSHOT = "keys"


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A key that is not revoked; `hash` is SHA-256 of its text."""

    hash: bytes
    expires_at: datetime | None
    principal: KeyPrincipal


class _Kept(msgspec.Struct, array_like=True):
    """A live key in the snapshot."""

    head: str
    hash: bytes
    expires_at: datetime | None
    key_id: int
    env_id: int
    kind: str
    scopes: list[str]
    name: str
    environment: str


_KEPT = msgspec.json.Decoder(list[_Kept])


def load(session: Session) -> dict[str, LiveKey]:
    """Return every live key, by the part of its text that is no secret."""
    rows = session.execute(
        select(ApiKey, Environment.slug)
        .join(Environment, Environment.id == ApiKey.env_id)
        .where(ApiKey.revoked_at.is_(None))
    )
    return {
        keyform.head(env, key.kind, key.public_id): LiveKey(
            key.secret_hash,
            key.expires_at,
            KeyPrincipal(key.id, key.env_id, key.kind, frozenset(key.scopes), key.name, env),
        )
        for key, env in rows
    }


def keep(settings: Settings, live: Mapping[str, LiveKey]) -> None:
    """Write the snapshot."""
    kept = [
        _Kept(
            head, it.hash, it.expires_at, who.key_id, who.env_id, who.kind, sorted(who.scopes), who.name,
            who.environment,
        )
        for head, it in sorted(live.items())
        for who in (it.principal,)
    ]  # fmt: skip
    Snapshots(settings).write(SNAPSHOT, msgspec.json.encode(kept))


def restore(settings: Settings) -> dict[str, LiveKey]:
    """Return the keys of the snapshot; none where it is missing or damaged."""
    try:
        kept = _KEPT.decode(Snapshots(settings).read(SNAPSHOT) or b"[]")
    except msgspec.MsgspecError:
        log.warning("snapshot.damaged", name=SNAPSHOT, effect="it is ignored")
        return {}
    return {
        it.head: LiveKey(
            it.hash,
            it.expires_at,
            KeyPrincipal(it.key_id, it.env_id, it.kind, frozenset(it.scopes), it.name, it.environment),
        )
        for it in kept
    }


def is_kept(settings: Settings) -> bool:
    """Whether there is a snapshot of keys to start with."""
    return Snapshots(settings).read(SNAPSHOT) is not None
