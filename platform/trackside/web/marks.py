"""What changed in a span of time, from every module: the thin vertical lines of every time chart."""

from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from trackside.module import Mark, resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
LIMIT = 50


def marks(runtime: Runtime, session: Session, env_id: int, start: datetime, end: datetime) -> list[Mark]:
    """Return what changed in `[start, end)`, oldest first; the newest `LIMIT` of them."""
    found: list[Mark] = []
    for module in runtime.registry.modules:
        if module.marks is None:
            continue
        try:
            with session.begin_nested():
                found += resolve(module.marks)(runtime, session, env_id, start, end)
        except Exception:
            # a chart without one module's marks is still a chart
            log.exception("marks.module_failed", module=module.name)
    return sorted(found, key=lambda mark: mark.at)[-LIMIT:]
