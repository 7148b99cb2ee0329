"""What the jobs page and `trackside jobs` show: one function a question."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import RedisError
from rq.worker_registration import WORKERS_BY_QUEUE_KEY
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.errors import NotFound
from trackside.jobs.bells import queue, queues
from trackside.jobs.models import DISCARDED, DONE, FAILED, OPEN, RUNNING, WAITING, Task, TickClaim
from trackside.jobs.schedule import slot_of
from trackside.jobs.tasks import LARGEST_ID
from trackside.runtime import Runtime

PAGE = 50


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue: what waits, for how long, and who works. `bells` and `workers` are None while Redis is away."""

    name: str
    waiting: int
    running: int
    bells: int | None
    workers: int | None
    late: float
    """Seconds for which the oldest of its due tasks waits."""


@dataclass(frozen=True, slots=True)
class TickState:
    """A line of the schedule. `last` is None where it never ran; `next` is in the past where it is overdue."""

    name: str
    kind: str
    every: timedelta
    durable: bool
    last: datetime | None
    next: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """Tasks by state; `late` seconds is how long the oldest due task has been waiting, `done` is of one day."""

    waiting: int
    running: int
    failed: int
    done: int
    late: float


COUNT_FAILED = select(func.count()).where(Task.state == FAILED)
"""How many tasks have failed for good and wait for a decision; composed once, each page asks it."""


def totals(session: Session) -> Totals:
    """Return the figures at the top of the page."""
    by_state = (
        select(Task.state, func.count().label("tasks")).where(Task.state.in_((*OPEN, FAILED))).group_by(Task.state)
    )
    found = {row.state: int(row.tasks) for row in session.execute(by_state)}
    today = select(func.count()).where(Task.state == DONE, Task.finished_at > func.now() - timedelta(days=1))
    waited = func.extract("epoch", func.now() - func.min(Task.not_before))
    late = session.scalar(select(waited).where(Task.state == WAITING, Task.not_before <= func.now()))
    return Totals(
        found.get(WAITING, 0), found.get(RUNNING, 0), found.get(FAILED, 0), session.scalar(today) or 0, float(late or 0)
    )


def queue_states(runtime: Runtime, session: Session) -> list[QueueState]:
    """Return every queue that some job uses."""
    queue_of = {job.kind: job.queue for job in runtime.registry.each(lambda m: m.jobs)}
    counts: Counter[tuple[str, str]] = Counter()
    lates: dict[str, float] = {}
    late = func.coalesce(func.extract("epoch", func.now() - func.min(Task.not_before)), 0)
    by_kind = select(Task.kind, Task.state, func.count(), late).where(Task.state.in_(OPEN))
    for kind, state, count, waited in session.execute(by_kind.group_by(Task.kind, Task.state)):
        name = queue_of.get(kind, "")
        counts[name, state] += count
        if state == WAITING:
            lates[name] = max(lates.get(name, 0.0), float(waited))
    names = queues(runtime)
    lines = _lines(runtime, names)
    return [
        QueueState(name, counts[name, WAITING], counts[name, RUNNING], *lines[name], lates.get(name, 0.0))
        for name in names
    ]


def _lines(runtime: Runtime, names: Sequence[str]) -> dict[str, tuple[int | None, int | None]]:
    """Return bells and living workers of each queue; Nones while Redis is away."""
    redis = runtime.redis.queue
    try:
        depths = [len(queue(redis, name)) for name in names]
        registered = [redis.smembers(WORKERS_BY_QUEUE_KEY % name) for name in names]
        alive = [redis.exists(*keys) if keys else 0 for keys in registered]
    except RedisError:
        return dict.fromkeys(names, (None, None))
    return {name: (depth, int(workers)) for name, depth, workers in zip(names, depths, alive, strict=True)}


def ticks(runtime: Runtime, session: Session) -> list[TickState]:
    """Return the schedule, the next one first."""
    claims = select(TickClaim.name, func.max(TickClaim.slot), func.max(TickClaim.claimed_at)).group_by(TickClaim.name)
    taken = {name: (slot, at) for name, slot, at in session.execute(claims)}
    now = runtime.clock.now()
    found: list[TickState] = []
    for tick in runtime.registry.each(lambda m: m.ticks):
        slot, at = taken.get(tick.name, (None, None))
        current = slot_of(tick, now)
        due = current if slot is None or slot < current else current + tick.every
        found.append(TickState(tick.name, tick.kind, tick.every, tick.durable, at, due))
    return sorted(found, key=lambda each: (each.next, each.name))


def tasks_in(session: Session, states: Sequence[str], *, kind: str | None = None, limit: int = PAGE) -> list[Task]:
    """Return tasks in any of `states`, the newest first."""
    statement = select(Task).where(Task.state.in_(states)).order_by(Task.id.desc()).limit(limit)
    if kind:
        statement = statement.where(Task.kind == kind)
    return list(session.scalars(statement))


def recent(session: Session) -> list[Task]:
    """Return what ended last, done or given up."""
    ended = select(Task).where(Task.state.in_((DONE, DISCARDED))).order_by(Task.finished_at.desc(), Task.id.desc())
    return list(session.scalars(ended.limit(PAGE)))


def task_by_id(session: Session, task_id: int) -> Task:
    """Return one task; raises NotFound."""
    found = session.get(Task, task_id) if task_id <= LARGEST_ID else None
    if found is None:
        raise NotFound(f"There is no task {task_id}; ended tasks are deleted after a while.")
    return found
