"""API keys: made, rotated, revoked. The text of a key is returned once, by the function that makes it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.auth.keyform import APITALLY, head, head_of, new_apitally_key, new_key
from trackside.auth.models import ApiKey
from trackside.auth.principal import KINDS
from trackside.auth.tokens import digest
from trackside.errors import Conflict, InputError, NotFound
from trackside.events import Event, announce
from trackside.runtime import Runtime
from trackside.text import clean_line
from trackside.workspace import Environment

CHANNEL = "trackside:keys"
OVERLAP = timedelta(days=1)
"""How long a rotated key keeps working, unless told otherwise."""
LONGEST_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KeysChanged(Event):
    """A key was made, changed or revoked: whoever holds keys in memory loads them again."""

    env_id: int


def create_key(
    session: Session,
    actor: Actor,
    now: datetime,
    env: Environment,
    *,
    kind: str,
    name: str,
    scopes: Collection[str] = (),
    known_scopes: Collection[str] = (),
    expires_at: datetime | None = None,
    apitally: bool = False,
) -> tuple[ApiKey, str]:
    """Return a new key and its text; raises InputError for a wrong kind, name, scope or time.

    With `apitally` it has the form that Apitally's SDKs take as their write token; only ingest keys may.
    """
    _check(kind, scopes, known_scopes)
    if apitally and kind != "ingest":
        raise InputError("kind: a key for Apitally's SDKs is an ingest key.", {"kind": "Choose ingest for Apitally."})
    if expires_at is not None and expires_at <= now:
        raise InputError("expires: choose a time in the future.", {"expires": "Choose a time in the future."})
    key, text = _make(
        session, actor, now, env, kind=kind, name=clean_line(name, "name", longest=100), apitally=apitally
    )
    key.scopes = sorted(set(scopes))
    key.expires_at = expires_at
    _changed(session, actor, now, key, "created", kind=kind, scopes=key.scopes)
    return key, text


def rotate(
    session: Session, actor: Actor, now: datetime, env: Environment, key: ApiKey, *, overlap: timedelta = OVERLAP
) -> tuple[ApiKey, str]:
    """Return a key that takes the place of `key`, and its text; both work until `overlap` is over.

    Raises Conflict where `key` does not work any more or is being replaced already: no more than two are live.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InputError("The old key can go on working for 30 days at most.", {"overlap": "Choose up to 30 days."})
    session.flush()  # a refresh forgets what is not written yet
    session.refresh(key, with_for_update=True)
    if not is_live(key, now):
        raise Conflict("This key does not work any more: make a new one instead.")
    successor = select(ApiKey.id).where(ApiKey.env_id == key.env_id, ApiKey.replaces_id == key.id)
    if session.scalar(successor.where(ApiKey.revoked_at.is_(None)).limit(1)):
        raise Conflict("This key is being replaced already: revoke it, then rotate the newer one.")
    apitally = key.public_id.startswith(APITALLY)
    fresh, text = _make(session, actor, now, env, kind=key.kind, name=key.name, apitally=apitally)
    fresh.scopes, fresh.replaces_id = list(key.scopes), key.id
    if key.expires_at is not None:
        fresh.expires_at = now + (key.expires_at - key.created_at)
    key.expires_at = min(filter(None, (key.expires_at, now + overlap)))
    changes = {"replaces": key.public_id, "old_works_until": _iso(key.expires_at)}
    _changed(session, actor, now, fresh, "rotated", **changes)
    return fresh, text


def expire(session: Session, actor: Actor, now: datetime, key: ApiKey, at: datetime | None) -> None:
    """Let a key end `at` a moment, or never; raises Conflict where it has ended already."""
    if not is_live(key, now):
        raise Conflict("This key does not work any more.")
    if at is not None and at <= now:
        raise InputError("Choose a time in the future.", {"expires": "Choose a time in the future."})
    before, key.expires_at = key.expires_at, at
    _changed(session, actor, now, key, "expiry_set", expires_at=[_iso(before), _iso(at)])


def revoke(session: Session, actor: Actor, now: datetime, key: ApiKey) -> None:
    """End a key; it is refused everywhere within 10 seconds. Revoking again changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = now
        _changed(session, actor, now, key, "revoked")


def key_by_id(session: Session, env_id: int, key_id: int) -> ApiKey:
    """Return a key of that environment; raises NotFound, also for another environment's."""
    found = session.get(ApiKey, (env_id, key_id))
    if found is None:
        raise NotFound("There is no such key in this environment.")
    return found


def key_by_public_id(session: Session, public_id: str) -> ApiKey:
    """Return the key whose text has `public_id` in it, or which begins like `public_id`; raises NotFound."""
    if public_id.startswith(APITALLY):
        public_id = head_of(public_id)
    wanted = public_id.split("_")[3] if public_id.startswith("ts_") and public_id.count("_") >= 3 else public_id
    found = session.scalar(select(ApiKey).where(ApiKey.public_id == wanted))
    if found is None:
        raise NotFound(f"There is no key {wanted!r}: `trackside key list` shows all")
    return found


def keys_of(session: Session, env_id: int, now: datetime, *, ended: bool = False) -> list[ApiKey]:
    """Return the environment's keys, the newest first; those that work, or with `ended` all."""
    wanted = select(ApiKey).where(ApiKey.env_id == env_id).order_by(ApiKey.id.desc())
    if not ended:
        wanted = wanted.where(ApiKey.revoked_at.is_(None), (ApiKey.expires_at.is_(None)) | (ApiKey.expires_at > now))
    return list(session.scalars(wanted))


def is_live(key: ApiKey, now: datetime) -> bool:
    """Whether `key` lets anybody in."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def publish_change(runtime: Runtime, _event: KeysChanged) -> None:
    """Tell every process at once; where Redis is away they find out by asking, within 5 seconds."""
    from redis import RedisError

    try:
        runtime.redis.pubsub.publish(CHANNEL, b"changed")
    except RedisError:
        return


def _make(
    session: Session, actor: Actor, now: datetime, env: Environment, *, kind: str, name: str, apitally: bool
) -> tuple[ApiKey, str]:
    made = new_apitally_key() if apitally else new_key(env.slug, kind)
    key = ApiKey(
        env_id=env.id,
        public_id=made.public_id,
        kind=kind,
        name=name,
        scopes=[],
        secret_hash=digest(made.text),
        created_by=actor.member_id,
        created_at=now,
    )
    session.add(key)
    session.flush()
    return key, made.text


def _check(kind: str, scopes: Collection[str], known: Collection[str]) -> None:
    if kind not in KINDS:
        raise InputError(f"kind: choose one of {', '.join(KINDS)}.", {"kind": f"Choose one of {', '.join(KINDS)}."})
    strange = sorted(set(scopes) - set(known))
    problem = ""
    if strange:
        problem = f"There is no scope {strange[0]!r}; there are: {', '.join(sorted(known)) or 'none'}."
    elif scopes and kind != "admin":
        problem = "Only admin keys have scopes: the other kinds say what they may do."
    elif kind == "admin" and not scopes:
        problem = "Choose what this key may do: an admin key without a scope could do nothing."
    if problem:
        raise InputError(f"scopes: {problem}", {"scopes": problem})


def _changed(session: Session, actor: Actor, now: datetime, key: ApiKey, what: str, **changes: object) -> None:
    audit(session, actor, f"key.{what}", "key", key.public_id, key.name, at=now, env_id=key.env_id, changes=changes)
    announce(session, KeysChanged(now, key.env_id))


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def shown(env: Environment, key: ApiKey) -> str:
    """Return how a key is written where its secret is not: `ts_production_server_4kQ8sJ2mW9`, `apt_4kQ8sJ2m`."""
    return head(env.slug, key.kind, key.public_id)
