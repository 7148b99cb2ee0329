"""`trackside worker`, `trackside schedule` and `trackside jobs`."""

from typing import Any

import click

from trackside.auth.audit import COMMAND_LINE, audit
from trackside.cli import as_json, runtime, say
from trackside.jobs import queries, tasks
from trackside.jobs.models import STATES, Task

ids = click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1, (1 << 63) - 1))


@click.command()
@click.argument("queue", default="default")
@click.option("--max-jobs", default=1000, show_default=True, help="End, with exit code 0, after this many jobs.")
def worker(queue: str, max_jobs: int) -> None:
    """Do the jobs of QUEUE until asked to stop."""
    from trackside.jobs.worker import serve

    serve(runtime(), queue, max_jobs=max_jobs)


@click.command()
def schedule() -> None:
    """Ring what is due, and what was left; two of these do no harm."""
    from trackside.jobs.schedule import serve

    serve(runtime())


@click.group()
def jobs() -> None:
    """See background work, retry it or give it up."""


def _row(task: Task) -> dict[str, Any]:
    names = (
        "id",
        "kind",
        "state",
        "attempts",
        "args",
        "error",
        "created_at",
        "not_before",
        "started_at",
        "finished_at",
    )
    return {name: getattr(task, name) for name in names}


@jobs.command("list")
@click.option("--state", type=click.Choice(STATES), multiple=True, help="Only these; repeatable.  [default: all]")
@click.option("--kind", help="Only this kind, e.g. usage.fold.")
@click.option("--limit", default=queries.PAGE, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def list_tasks(state: tuple[str, ...], kind: str | None, limit: int, as_json: bool) -> None:
    """Print tasks, the newest first."""
    with runtime().database.session() as session:
        found = queries.tasks_in(session, state or STATES, kind=kind, limit=limit)
    lines = [f"{t.id:>8}  {t.state:<9}  {t.attempts}x  {t.kind:<24}  {t.error or ''}".rstrip() for t in found]
    say(as_json, [_row(task) for task in found], *(lines or ["No task."]))


@jobs.command()
@click.argument("task_id", type=int)
@as_json
def show(task_id: int, as_json: bool) -> None:
    """Print one task."""
    with runtime().database.session() as session:
        row = _row(queries.task_by_id(session, task_id))
    say(as_json, row, *(f"{name:<12} {value}" for name, value in row.items() if value is not None))


@jobs.command()
@ids
@as_json
def retry(ids: tuple[int, ...], as_json: bool) -> None:
    """Let failed or discarded tasks run again."""
    _each(ids, tasks.retry, "retried", as_json)


@jobs.command()
@ids
@as_json
def discard(ids: tuple[int, ...], as_json: bool) -> None:
    """Give waiting or failed tasks up."""
    _each(ids, tasks.discard, "discarded", as_json)


def _each(ids: tuple[int, ...], change: Any, what: str, as_json: bool) -> None:
    """Change every task, or, where one cannot be changed, none."""
    with runtime().database.session() as session:
        for each in ids:
            change(session, each)
            kind = queries.task_by_id(session, each).kind
            audit(session, COMMAND_LINE, f"task.{what}", "task", each, kind, at=runtime().clock.now())
    say(as_json, {what: list(ids)}, *(f"Task {each} is {what}." for each in ids))


@jobs.command("schedule")
@as_json
def show_schedule(as_json: bool) -> None:
    """Print every tick with its last and next run."""
    with runtime().database.session() as session:
        found = queries.ticks(runtime(), session)
    rows = [
        {"name": t.name, "kind": t.kind, "every_seconds": t.every.total_seconds(), "last": t.last, "next": t.next}
        for t in found
    ]
    lines = [
        f"{t.name:<24}  every {t.every}  last {t.last or 'never':<32}  next {t.next:%Y-%m-%d %H:%M:%S} UTC"
        for t in found
    ]
    say(as_json, rows, *(lines or ["Nothing is scheduled."]))


@jobs.command("queues")
@as_json
def show_queues(as_json: bool) -> None:
    """Print every queue: what waits, what runs, who works."""
    with runtime().database.session() as session:
        found = queries.queue_states(runtime(), session)
    lines = [f"{q.name:<12}  waiting {q.waiting}  running {q.running}  {_workers(q)}" for q in found]
    say(as_json, found, *lines)


def _workers(state: queries.QueueState) -> str:
    if state.workers is None:
        return "Redis is away: bells and workers unknown"
    return f"bells {state.bells}  workers {state.workers}"
