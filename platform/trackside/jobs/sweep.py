"""The sweeper: what makes a lost bell, a flushed Redis or a killed worker harmless.

It takes tasks back whose worker has fallen silent, rings what is due and has no bell in its queue, and deletes what
ended long ago. It runs in every scheduler; two of them at once do no harm.
"""

import re
import time
from collections import defaultdict

import structlog
from redis import RedisError

from trackside.jobs import bells, outbox, tasks
from trackside.module import Job
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
MOST = 1000
"""Bells rung in one sweep."""
_BELL = re.compile(r"task-(\d+)-")


def sweep(runtime: Runtime) -> int:
    """Free expired leases and ring what is due; return how many bells rang. Raises SQLAlchemyError."""
    kinds = {job.kind: job for job in runtime.registry.each(lambda m: m.jobs)}
    with runtime.database.session() as session:
        freed = tasks.free_expired(session, {kind: job.max_attempts for kind, job in kinds.items()})
        due = tasks.due(session, kinds, MOST)
    if freed:
        log.warning("jobs.leases_expired", count=freed)
    by_queue: dict[str, list[tuple[int, Job, int]]] = defaultdict(list)
    for task_id, kind, attempts in due:
        by_queue[kinds[kind].queue].append((task_id, kinds[kind], attempts))
    return sum(_ring_missing(runtime, name, found) for name, found in by_queue.items())


def _ring_missing(runtime: Runtime, name: str, due: list[tuple[int, Job, int]]) -> int:
    try:
        there = bells.waiting(runtime.redis.queue, name)
    except RedisError:
        return 0  # said once where it is rung; the next sweep tries again
    if len(there) >= bells.FULL:
        return 0
    ringing = {int(found[1]) for each in there if (found := _BELL.match(each))}
    # A bell may have been taken out of the queue and lost with its worker, while RQ still holds its id: the moment in
    # the id makes this one new.
    moment = int(time.time() // 5)
    missing = [each for each in due if each[0] not in ringing]
    return sum(bells.ring_task(runtime, job, task_id, f"{tried}-{moment}") for task_id, job, tried in missing)


def forget(runtime: Runtime) -> int:
    """Delete ended tasks and deliveries past their time; return how many. Raises SQLAlchemyError."""
    with runtime.database.session() as session:
        return tasks.forget(session) + outbox.forget(session)
