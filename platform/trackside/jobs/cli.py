"""`trackside worker`, `trackside schedule` and `trackside jobs`."""

import click

from trackside.cli import runtime


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
