"""Writes and rules; no Flask here, so the page and the command share it."""

from datetime import datetime

from sqlalchemy.orm import Session

from trackside.errors import InputError
from trackside_releases.models import Release

LONGEST = 60


def record(session: Session, env_id: int, version: str, at: datetime) -> Release:
    """Record that `version` went live at `at`; raises InputError on an empty, long or unprintable version."""
    version = version.strip()
    if not version or len(version) > LONGEST or not version.isprintable():
        raise InputError(fields={"version": f"Give the version in 1 to {LONGEST} printable characters."})
    release = Release(env_id=env_id, version=version, at=at)
    session.add(release)
    session.flush()
    return release
