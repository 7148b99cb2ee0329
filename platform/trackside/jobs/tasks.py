"""Tasks from their writing to their end: the only code that changes the `task` table.

`enqueue` writes the row in the caller's transaction, and after the commit the doorbell rings. A worker takes a lease by
`UPDATE ... RETURNING`, keeps it alive, and everything it commits holds only while the lease's token is still its own:
a worker that was paused, and whose task another has taken meanwhile, changes nothing. Times here are the database's,
since leases compare the clocks of many machines.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, and_, case, delete, func, literal, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trackside.errors import Conflict, NotFound
from trackside.events import Event, announce
from trackside.jobs.models import DISCARDED, DONE, FAILED, OPEN, RUNNING, WAITING, Task

LEASE = timedelta(seconds=30)
"""How long a worker that says nothing keeps its task."""
LONGEST_BACK_OFF = timedelta(minutes=15)
REASON_LENGTH = 500
KEEP_DONE = timedelta(days=7)
KEEP_FAILED = timedelta(days=90)
BATCH = 1000
LARGEST_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class TaskEnqueued(Event):
    """A task is there and due: the doorbell may ring."""

    task_id: int
    kind: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do a task, until someone else has it."""

    task_id: int
    kind: str
    args: dict[str, Any]
    attempt: int
    token: str


class LeaseLost(Exception):
    """Someone else has the task now, or it was discarded: what this worker did meanwhile does not count."""


def enqueue(
    session: Session,
    kind: str,
    args: Mapping[str, Any] | None = None,
    *,
    not_before: datetime | None = None,
    dedupe_key: str | None = None,
) -> int:
    """Write a task in the session's transaction and return its id; it runs once that has committed.

    Args:
        session: whose commit makes it true; a rollback forgets it.
        kind: a `Job.kind` of some module.
        args: ids and plain JSON values; never personal data, which would outlive an erasure here.
        not_before: the earliest moment it may run; the sweeper rings it within seconds of it.
        dedupe_key: where an open task has the same key, that one's id is returned. If it is running already it will
            run once more afterwards, so that nothing written before this call is missed.

    """
    again = insert(Task).values(kind=kind, args=dict(args or {}), dedupe_key=dedupe_key, **_when(not_before))
    if dedupe_key is not None:
        again = again.on_conflict_do_update(
            index_elements=[Task.dedupe_key],
            index_where=text("state in ('waiting', 'running')"),
            set_={"again": or_(Task.again, Task.state == RUNNING)},
        )
    task_id, created_at, due = session.execute(
        again.returning(Task.id, Task.created_at, Task.not_before <= func.now())
    ).one()
    if due:
        announce(session, TaskEnqueued(created_at, task_id, kind))
    return int(task_id)


def _when(not_before: datetime | None) -> dict[str, Any]:
    return {} if not_before is None else {"not_before": not_before}


def take(session: Session, task_id: int, kind: str, token: str) -> Lease | None:
    """Lease the task to the holder of `token`; None where it is not due, not of that kind, or someone else's."""
    free = or_(
        and_(Task.state == WAITING, Task.not_before <= func.now()),
        and_(Task.state == RUNNING, Task.lease_until < func.now()),
    )
    row = session.execute(
        update(Task)
        .where(Task.id == task_id, Task.kind == kind, free)
        .values(
            state=RUNNING,
            attempts=Task.attempts + 1,
            lease_token=token,
            lease_until=func.now() + LEASE,
            started_at=func.now(),
        )
        .returning(Task.args, Task.attempts)
    ).one_or_none()
    return Lease(task_id, kind, row.args, row.attempts, token) if row else None


def extend(session: Session, task_id: int, token: str) -> bool:
    """Keep the lease for a while longer; False where it is no longer ours."""
    return _changed(session, _mine(task_id, token).values(lease_until=func.clock_timestamp() + LEASE))


def finish(session: Session, task_id: int, token: str) -> bool:
    """Mark the task done, or waiting again where it was asked for meanwhile; False where the lease is not ours."""
    return _changed(
        session,
        _mine(task_id, token).values(
            state=case((Task.again, WAITING), else_=DONE),
            attempts=case((Task.again, 0), else_=Task.attempts),
            not_before=case((Task.again, func.now()), else_=Task.not_before),
            finished_at=case((Task.again, null()), else_=func.now()),
            again=False,
            error=None,
            lease_token=None,
            lease_until=None,
        ),
    )


def fail(session: Session, task_id: int, token: str, reason: str, *, max_attempts: int) -> bool:
    """Record why this attempt failed, and let the task wait for its next one or end; False: lease not ours."""
    return _changed(session, _mine(task_id, token).values(**_ended(reason, literal(max_attempts))))


def _mine(task_id: int, token: str) -> Update:
    return update(Task).where(Task.id == task_id, Task.lease_token == token, Task.state == RUNNING)


def _changed(session: Session, statement: Update) -> bool:
    return session.execute(statement.returning(Task.id)).one_or_none() is not None


def _ended(reason: str, max_attempts: Any) -> dict[str, Any]:
    """Return the values of a task whose attempt has failed: 2, 4, 8 ... seconds to wait, or the end."""
    over = Task.attempts >= max_attempts
    longest = int(LONGEST_BACK_OFF.total_seconds())
    seconds = func.least(longest, func.power(2, func.least(Task.attempts, 20)))
    return {
        "state": case((over, FAILED), else_=WAITING),
        "not_before": func.now() + seconds * text("interval '1 second'"),
        "finished_at": case((over, func.now()), else_=null()),
        "error": reason[:REASON_LENGTH],
        "lease_token": None,
        "lease_until": None,
    }


def free_expired(session: Session, max_attempts: Mapping[str, int]) -> int:
    """Take tasks back from workers that have fallen silent; return how many."""
    reason = "The worker fell silent: it was killed, or could not reach the database"
    limit = case(max_attempts, value=Task.kind, else_=1) if max_attempts else literal(1)
    statement = (
        update(Task)
        .where(Task.state == RUNNING, Task.lease_until < func.now())
        .values(**_ended(reason, limit))
        .returning(Task.id)
    )
    return len(session.execute(statement).all())


def due(session: Session, kinds: Iterable[str], limit: int) -> list[tuple[int, str, int]]:
    """Return `(id, kind, attempts)` of tasks that could run now, the longest waiting first."""
    statement = (
        select(Task.id, Task.kind, Task.attempts)
        .where(Task.state == WAITING, Task.not_before <= func.now(), Task.kind.in_(list(kinds)))
        .order_by(Task.not_before, Task.id)
        .limit(limit)
    )
    return [(row.id, row.kind, row.attempts) for row in session.execute(statement)]


def forget(session: Session) -> int:
    """Delete tasks that ended long ago, a batch at a time; return how many."""
    old = or_(
        and_(Task.state == DONE, Task.finished_at < func.now() - KEEP_DONE),
        and_(Task.state.in_((FAILED, DISCARDED)), Task.finished_at < func.now() - KEEP_FAILED),
    )
    chosen = select(Task.id).where(Task.state.not_in(OPEN), old).limit(BATCH).scalar_subquery()
    return len(session.execute(delete(Task).where(Task.id.in_(chosen)).returning(Task.id)).all())


def retry(session: Session, task_id: int) -> None:
    """Let a failed or discarded task run again from its first attempt.

    Raises NotFound, and Conflict where it has not ended or the same work is open under another id.
    """
    task = _locked(session, task_id)
    if task.state not in (FAILED, DISCARDED):
        raise Conflict(f"Task {task_id} is {task.state}: only failed and discarded tasks can be retried.")
    try:
        with session.begin_nested():
            session.execute(
                update(Task)
                .where(Task.id == task_id)
                .values(state=WAITING, attempts=0, not_before=func.now(), finished_at=None, again=False)
            )
    except IntegrityError:
        raise Conflict(f"The same work as task {task_id} is waiting already under another number.") from None
    announce(session, TaskEnqueued(task.created_at, task_id, task.kind))


def discard(session: Session, task_id: int) -> None:
    """Give a waiting or failed task up; it stays listed. Raises NotFound, and Conflict where it is running or over."""
    task = _locked(session, task_id)
    if task.state not in (WAITING, FAILED):
        raise Conflict(f"Task {task_id} is {task.state}: only waiting and failed tasks can be discarded.")
    session.execute(update(Task).where(Task.id == task_id).values(state=DISCARDED, finished_at=func.now()))


def _locked(session: Session, task_id: int) -> Task:
    statement = select(Task).where(Task.id == task_id).with_for_update()
    fresh = statement.execution_options(populate_existing=True)
    task = session.scalar(fresh) if task_id <= LARGEST_ID else None
    if task is None:
        raise NotFound(f"There is no task {task_id}.")
    return task
