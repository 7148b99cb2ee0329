"""What changed in a span of time, from every module: the thin vertical lines of every time chart."""

from datetime import datetime

from sqlalchemy.orm import Session

from trackside.ask import ask
from trackside.module import Mark
from trackside.runtime import Runtime

LIMIT = 50


def marks(runtime: Runtime, session: Session, env_id: int, start: datetime, end: datetime) -> list[Mark]:
    """Return what changed in `[start, end)`, oldest first; the newest `LIMIT` of them."""
    found: list[Mark] = []
    for module in runtime.registry.modules:
        if module.marks:
            found += ask(module.marks, runtime, session, env_id, start, end, otherwise=[])
    return sorted(found, key=lambda mark: mark.at)[-LIMIT:]
