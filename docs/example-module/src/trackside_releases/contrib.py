"""What the module adds elsewhere: a mark on every time chart."""

from datetime import datetime

from sqlalchemy.orm import Session

from trackside.module import Mark
from trackside.runtime import Runtime
from trackside_releases.queries import between


def marks(runtime: Runtime, session: Session, env_id: int, start: datetime, end: datetime) -> list[Mark]:
    """Return the releases in `[start, end)` as marks."""
    return [Mark(r.at, "release", f"Released {r.version}", "/releases/") for r in between(session, env_id, start, end)]
