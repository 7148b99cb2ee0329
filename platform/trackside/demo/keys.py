"""The ingest key of the demo: made when first needed, kept in the data folder, gone with the demo."""

import os
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trackside.auth import keys
from trackside.auth.audit import SYSTEM
from trackside.auth.models import ApiKey
from trackside.auth.tokens import digest
from trackside.demo import ENVIRONMENT
from trackside.runtime import Runtime
from trackside.workspace import environment_by_slug, fact, set_fact

KEY_FILE = "demo-key"
KEY = "demo.key"
"""The workspace fact that holds the public part of the demo's key."""


def demo_key(runtime: Runtime, folder: Path) -> str:
    """Return the demo's key, the one kept in `folder` where it still works, else a new one in its place."""
    path = folder / KEY_FILE
    with runtime.database.session() as session:
        kept = _read(path)
        key = _key(session)
        if key is not None and keys.is_live(key, runtime.clock.now()) and key.secret_hash == digest(kept):
            return kept
        remove_key(runtime, session)
        environment = environment_by_slug(session, ENVIRONMENT)
        made, text = keys.create_key(
            session, SYSTEM, runtime.clock.now(), environment, kind="ingest", name="Demo traffic"
        )
        set_fact(session, KEY, made.public_id)
        _write(path, text)
    return text


def remove_key(runtime: Runtime, session: Session) -> None:
    """Revoke the demo's key, where there is one, and remove its row."""
    key = _key(session)
    if key is not None:
        keys.revoke(session, SYSTEM, runtime.clock.now(), key)
        session.flush()
        session.execute(delete(ApiKey).where(ApiKey.env_id == key.env_id, ApiKey.id == key.id))


def _key(session: Session) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.public_id == (fact(session, KEY) or "")))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
