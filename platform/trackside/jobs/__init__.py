"""Background work: tasks in PostgreSQL are the truth, RQ is the doorbell.

What modules use::

    jobs.enqueue(session, "usage.rebuild", {"env_id": 1}, dedupe_key="rebuild:1")  # with the change, in its commit
    with jobs.fenced(runtime) as session: ...  # in a job: commits only while the task is still ours
    jobs.ring(runtime, "usage.fold")  # a job that needs no task
"""

from trackside.jobs.bells import ring
from trackside.jobs.run import fenced
from trackside.jobs.tasks import LeaseLost, TaskEnqueued, enqueue

__all__ = ["LeaseLost", "TaskEnqueued", "enqueue", "fenced", "ring"]
