"""What became of what was posted to the outbox: asked by what it was about."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.jobs.models import DISCARDED, FAILED, Delivery, Task

QUEUED, TRYING, SENT, NOWHERE, GIVEN_UP = "queued", "trying", "sent", "nowhere", "failed"


@dataclass(frozen=True, slots=True)
class Sending:
    """A delivery on its way."""

    state: str
    """`queued`, `trying` (it failed and is tried again), `sent`, `nowhere` (its sender only noted it), or `failed`."""
    at: datetime
    """When it was sent, or is tried next; else when it was posted."""
    reason: str = ""
    """Why it is not sent."""
    task_id: int | None = None


def of(session: Session, abouts: Collection[str]) -> dict[str, Sending]:
    """Return what became of the last delivery about each of `abouts`; sent ones are known for 30 days."""
    if not abouts:
        return {}
    query = select(Delivery, Task).outerjoin(Task, Task.id == Delivery.task_id).where(Delivery.about.in_(abouts))
    return {it.about or "": _sending(it, task) for it, task in session.execute(query.order_by(Delivery.id))}


def _sending(it: Delivery, task: Task | None) -> Sending:
    if it.sent_at is not None:
        return Sending(NOWHERE if it.remark else SENT, it.sent_at, it.remark or "", it.task_id)
    if task is None or task.state in (FAILED, DISCARDED):
        reason = (task.error if task is not None else None) or "It was given up."
        return Sending(GIVEN_UP, task.finished_at or it.created_at if task else it.created_at, reason, it.task_id)
    if task.error:
        return Sending(TRYING, task.not_before, task.error, it.task_id)
    return Sending(QUEUED, it.created_at, task_id=it.task_id)
