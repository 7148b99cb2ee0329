"""The jobs page: what waits, runs and failed, and the schedule."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.audit import audit
from trackside.auth.login import actor
from trackside.db import db
from trackside.jobs import queries, tasks
from trackside.jobs.models import FAILED, RUNNING, WAITING
from trackside.web.current import current_runtime
from trackside.web.policy import require

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")


@blueprint.get("")
@require("jobs.view")
def index() -> ResponseReturnValue:
    """Show everything at once; its live part alone when htmx asks."""
    runtime, session = current_runtime(), db.session()
    return render_template(
        "jobs/_state.html" if "HX-Request" in request.headers else "jobs/index.html",
        totals=queries.totals(session),
        queues=queries.queue_states(runtime, session),
        running=queries.tasks_in(session, (RUNNING,)),
        waiting=queries.tasks_in(session, (WAITING,)),
        failed=queries.tasks_in(session, (FAILED,)),
        recent=queries.recent(session),
        ticks=queries.ticks(runtime, session),
        now=runtime.clock.now(),
    )


@blueprint.get("/<int:task_id>")
@require("jobs.view")
def show(task_id: int) -> ResponseReturnValue:
    """Show one task."""
    return render_template("jobs/task.html", task=queries.task_by_id(db.session(), task_id))


@blueprint.post("/<int:task_id>/retry")
@require("jobs.manage")
def retry(task_id: int) -> ResponseReturnValue:
    """Let a failed task run again."""
    tasks.retry(db.session(), task_id)
    return _noted(task_id, "retried", f"Task {task_id} will run again.")


@blueprint.post("/<int:task_id>/discard")
@require("jobs.manage")
def discard(task_id: int) -> ResponseReturnValue:
    """Give a task up."""
    tasks.discard(db.session(), task_id)
    return _noted(task_id, "discarded", f"Task {task_id} is discarded.")


def _noted(task_id: int, what: str, words: str) -> ResponseReturnValue:
    session = db.session()
    kind = queries.task_by_id(session, task_id).kind
    audit(session, actor(), f"task.{what}", "task", task_id, kind, at=current_runtime().clock.now())
    session.commit()
    flash(words, "success")
    return redirect(url_for("jobs.index"))
