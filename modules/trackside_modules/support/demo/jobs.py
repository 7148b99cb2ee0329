"""What a worker does for the demo."""

from datetime import timedelta

from sqlalchemy import func, or_, select

from trackside.jobs.models import OPEN, Task
from trackside.jobs.tasks import enqueue
from trackside.runtime import Runtime
from trackside_modules.support.demo.contexts import freeze

CONTEXTS = "support.demo_contexts"
AGAIN = timedelta(seconds=2)
MOST_TRIES = 150
"""Five minutes: a part of the past that never ends holds nothing up for ever."""
SETTLES = timedelta(seconds=15)
"""How long after the past is written what fails live is folded, which waited for it."""
_PASTS = r"%.demo\_%"
"""What modules call the tasks that write their part of the demo's past."""


def freeze_contexts(runtime: Runtime, tries: int = 1) -> None:
    """Freeze the contexts of the demo's past, with what is known of it now.

    While other modules still write their part, what is frozen is made anew a moment later; after `MOST_TRIES` it stays
    as it is then.
    """
    fresh = or_(Task.state.in_(OPEN), Task.finished_at > func.now() - SETTLES)
    others = select(Task.id).where(Task.kind.like(_PASTS), Task.kind != CONTEXTS, fresh).limit(1)
    with runtime.database.session() as session:
        unfinished = session.scalar(others) is not None
    again = unfinished and tries < MOST_TRIES
    freeze(runtime, last=not again)
    if again:
        now = runtime.clock.now()
        with runtime.database.session() as session:
            key = f"{CONTEXTS}:{now.timestamp():.0f}"
            enqueue(session, CONTEXTS, {"tries": tries + 1}, not_before=now + AGAIN, dedupe_key=key)
