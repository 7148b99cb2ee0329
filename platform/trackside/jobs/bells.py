"""The doorbell: telling the workers, through RQ, that there is something to do.

A bell carries no truth. One that is lost is rung again by the sweeper; one too many finds nothing to do and leaves. So
whoever rings never fails and never waits: Redis away means that the sweeper rings later.
"""

import re
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from redis import Redis, RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from trackside.jobs.tasks import TaskEnqueued
from trackside.module import Job
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
TASK, BELL = "trackside.jobs.run.task", "trackside.jobs.run.bell"
"""The only functions a worker calls; what else is found in Redis is refused."""
FAILURE_TTL = int(timedelta(days=7).total_seconds())
TASK_TTL = int(timedelta(hours=1).total_seconds())
QUIET = 3.0
"""Seconds without another try after Redis did not answer, so that requests do not each wait for it."""
FULL = 5000
"""Bells in a queue beyond which no more are rung: its workers are busy anyway."""


@dataclass
class _Line:
    """What this process remembers of the way to Redis."""

    quiet_until: float = 0.0
    away: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class _Bell:
    """What goes into RQ; after `ttl` seconds unanswered it is void."""

    id: str
    function: str
    args: list[Any]
    ttl: int


_lines: "WeakKeyDictionary[Redis, _Line]" = WeakKeyDictionary()


@cache
def _plain(name: str) -> str:
    """Return `name` in the letters that RQ allows in a job's id."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def job_of(runtime: Runtime, kind: str) -> Job | None:
    """Return the job that modules declare as `kind`, or None."""
    return next((job for job in runtime.registry.each(lambda m: m.jobs) if job.kind == kind), None)


def queues(runtime: Runtime) -> list[str]:
    """Return the names of all queues that some job uses."""
    return sorted({"default", *(job.queue for job in runtime.registry.each(lambda m: m.jobs))})


def queue(connection: Redis, name: str) -> Queue:
    """Return the RQ queue `name`; what is in it is JSON, never pickle."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


def waiting(connection: Redis, name: str) -> set[str]:
    """Return the ids of the bells that wait in the queue `name`. Raises RedisError."""
    return set(queue(connection, name).get_job_ids())


def ring_task(runtime: Runtime, job: Job, task_id: int, suffix: str) -> bool:
    """Ring for one task; `suffix` tells this ringing from earlier ones. False: Redis did not take it."""
    return _ring(runtime, job, _Bell(f"task-{task_id}-{suffix}", TASK, [task_id, job.kind], TASK_TTL))


def ring(runtime: Runtime, kind: str, *, slot: str | None = None, ttl: timedelta = timedelta(minutes=1)) -> bool:
    """Ring for a job that needs no task, because its own tables say what is to be done.

    Args:
        runtime: the process's.
        kind: a `Job.kind` whose function takes no arguments but the runtime.
        slot: what makes this ringing one of its kind: two that ring for the same slot ring once.
        ttl: after how long a bell that nobody answered is void.

    Returns:
        Whether a bell is there: also when one of this kind is waiting already. Raises KeyError for an unknown kind.

    """
    job = job_of(runtime, kind)
    if job is None:
        raise KeyError(kind)
    mine = f"bell-{_plain(kind)}-"
    connection = runtime.redis.queue
    line = _lines.setdefault(connection, _Line())
    if time.monotonic() < line.quiet_until:
        return False
    try:
        there = waiting(connection, job.queue)
    except RedisError as error:
        return _lost(line, error)
    if len(there) >= FULL or any(each.startswith(mine) for each in there):
        return True
    slot = slot or str(time.time_ns())
    return _ring(runtime, job, _Bell(mine + _plain(slot), BELL, [kind], max(1, int(ttl.total_seconds()))))


def _ring(runtime: Runtime, job: Job, bell: _Bell) -> bool:
    connection = runtime.redis.queue
    line = _lines.setdefault(connection, _Line())
    if time.monotonic() < line.quiet_until:
        return False
    try:
        queue(connection, job.queue).enqueue_call(
            bell.function,
            args=bell.args,
            timeout=max(1, int(job.timeout.total_seconds())),
            result_ttl=0,
            ttl=bell.ttl,
            failure_ttl=FAILURE_TTL,
            description=job.kind,
            job_id=bell.id,
            unique=True,
        )
    except DuplicateJobError:
        pass  # it rings already: an answer of Redis was lost, or two of us rang
    except RedisError as error:
        return _lost(line, error)
    if line.away:
        line.away = False
        log.info("jobs.redis_back")
    return True


def _lost(line: _Line, error: RedisError) -> bool:
    line.quiet_until = time.monotonic() + QUIET
    if not line.away:
        line.away = True
        log.warning("jobs.redis_away", error=type(error).__name__, consequence="the sweeper rings when it is back")
    return False


def on_enqueued(runtime: Runtime, event: TaskEnqueued) -> None:
    """Ring for a task whose transaction has committed."""
    job = job_of(runtime, event.kind)
    if job is None:
        log.error("jobs.unknown_kind", kind=event.kind, task=event.task_id)
        return
    ring_task(runtime, job, event.task_id, "0")
