"""Doing the work: what a worker's child process calls, once for each bell.

`task` and `bell` are the only two functions that a bell may name (see `trackside.jobs.worker`). A job's function gets
`(Runtime, **args)`. Whatever it writes, it writes through `fenced`, so that only the holder of the lease commits.
"""

import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trackside.errors import TracksideError
from trackside.jobs import tasks
from trackside.jobs.bells import job_of
from trackside.jobs.tasks import Lease, LeaseLost
from trackside.module import Job, resolve
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)


class JobTimeout(BaseException):
    """The job ran longer than it may; not an Exception, so that `except Exception` in a job does not swallow it."""


@dataclass
class _Held:
    """The lease that this process works under, and what has become of it."""

    lease: Lease
    finished: bool = False
    lost: bool = False


_held: ContextVar[_Held | None] = ContextVar("trackside.jobs.held", default=None)


@contextmanager
def fenced(runtime: Runtime, *, finish: bool = False) -> Iterator[Session]:
    """Give a session whose commit holds only if the running task's lease is still ours.

    Args:
        runtime: the process's.
        finish: also marks the task done in the same commit: then the effects happen exactly once.

    Raises LeaseLost at the end of the block, and nothing is committed, where another worker has the task. Outside a
    task (a bell, a test, a command) it is a plain session.

    """
    held = _held.get()
    with runtime.database.session() as session:
        yield session
        if held is None:
            return
        session.flush()
        keep = tasks.finish if finish else tasks.extend
        if not keep(session, held.lease.task_id, held.lease.token):
            held.lost = True
            raise LeaseLost
    held.finished = held.finished or finish


def task(runtime: Runtime, token: str, task_id: int, kind: str) -> None:
    """Do the task, if it is due and nobody else's: take its lease, keep it, call the function, record the end."""
    job = job_of(runtime, kind)
    if job is None:
        log.error("jobs.unknown_kind", kind=kind, task=task_id)
        return
    with runtime.database.session() as session:
        lease = tasks.take(session, task_id, kind, token)
    if lease is None:
        return
    held = _Held(lease)
    outer = _held.set(held)
    try:
        with _heartbeat(runtime, held, job):
            _call(runtime, job, held)
    finally:
        _held.reset(outer)


def bell(runtime: Runtime, kind: str) -> None:
    """Do a job that has no task; what it did not do, its next bell does."""
    job = job_of(runtime, kind)
    if job is None:
        log.error("jobs.unknown_kind", kind=kind)
        return
    try:
        resolve(job.function)(runtime)
    except (Exception, JobTimeout) as error:
        log.error("jobs.bell_failed", kind=kind, reason=reason_of(error), trace=_frames(error))


def _call(runtime: Runtime, job: Job, held: _Held) -> None:
    lease = held.lease
    try:
        resolve(job.function)(runtime, **lease.args)
        if not held.finished:
            with fenced(runtime, finish=True):
                pass
    except LeaseLost:
        log.warning("jobs.lease_lost", kind=lease.kind, task=lease.task_id, attempt=lease.attempt)
    except (Exception, JobTimeout) as error:
        reason, limit = reason_of(error, job), job.max_attempts
        if isinstance(error, TracksideError) and error.permanent:
            limit = 1  # the same again can never work
        log.error("jobs.task_failed", kind=lease.kind, task=lease.task_id, reason=reason, trace=_frames(error))
        record_failure(runtime, lease.task_id, lease.token, reason, limit)


def record_failure(runtime: Runtime, task_id: int, token: str, reason: str, max_attempts: int) -> bool:
    """Write down why an attempt failed; with the database away, the lease runs out and the sweeper does it."""
    try:
        with runtime.database.session() as session:
            return tasks.fail(session, task_id, token, reason, max_attempts=max_attempts)
    except SQLAlchemyError as error:
        log.warning("jobs.failure_not_recorded", task=task_id, error=type(error).__name__)
        return False


def reason_of(error: BaseException, job: Job | None = None) -> str:
    """Return one line on why a job failed, for staff; foreign messages are left out, they may quote personal data."""
    if isinstance(error, TracksideError):
        return error.message
    where = _last_frame(error.__traceback__)
    if isinstance(error, JobTimeout):
        limit = f" than its {job.timeout.total_seconds():g} s" if job else " than it may"
        return f"It ran longer{limit}{where}"
    if isinstance(error, MemoryError):
        return f"It needed more memory than a job may have{where}"
    return f"{type(error).__name__}{where}"


def _last_frame(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if "trackside" in frame.filename] or frames
    if not ours:
        return ""
    return f" in {os.path.basename(ours[-1].filename)}:{ours[-1].lineno} ({ours[-1].name})"  # noqa: PTH119 - a mere string


def _frames(error: BaseException) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]


@contextmanager
def _heartbeat(runtime: Runtime, held: _Held, job: Job) -> Iterator[None]:
    """Extend the lease from a thread, as long as the job may run; a silent worker loses it."""
    over = threading.Event()
    limit = job.timeout.total_seconds() + tasks.LEASE.total_seconds()
    thread = threading.Thread(target=_beat, args=(runtime, held, over, limit), daemon=True, name="lease")
    thread.start()
    try:
        yield
    finally:
        over.set()


def _beat(runtime: Runtime, held: _Held, over: threading.Event, limit: float) -> None:
    every, started = tasks.LEASE.total_seconds() / 4, runtime.clock.monotonic()
    while not over.wait(every) and runtime.clock.monotonic() - started < limit:
        try:
            with runtime.database.session() as session:
                held.lost = not tasks.extend(session, held.lease.task_id, held.lease.token)
        except SQLAlchemyError as error:
            log.warning("jobs.heartbeat_failed", task=held.lease.task_id, error=type(error).__name__)
        if held.lost:
            return
