"""What a worker does for the demo."""

from datetime import timedelta

from sqlalchemy import select

from trackside.jobs.models import OPEN, Task
from trackside.jobs.tasks import enqueue
from trackside.runtime import Runtime
from trackside_modules.support.demo.contexts import freeze

CONTEXTS = "support.demo_contexts"
AGAIN = timedelta(seconds=2)
_PASTS = r"%.demo\_%"
"""What modules call the tasks that write their part of the demo's past."""


def freeze_contexts(runtime: Runtime) -> None:
    """Freeze the contexts of the demo's past, with what is known of it now.

    While other modules still write their part, what is frozen is made anew a moment later.
    """
    others = select(Task.id).where(Task.kind.like(_PASTS), Task.kind != CONTEXTS, Task.state.in_(OPEN)).limit(1)
    with runtime.database.session() as session:
        unfinished = session.scalar(others) is not None
    freeze(runtime, last=not unfinished)
    if unfinished:
        now = runtime.clock.now()
        with runtime.database.session() as session:
            enqueue(session, CONTEXTS, not_before=now + AGAIN, dedupe_key=f"{CONTEXTS}:{now.timestamp():.0f}")
