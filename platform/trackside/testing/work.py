"""Real workers and schedulers for tests, and the levers to do to them what life does."""

import faulthandler
import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

from sqlalchemy import func, update

from trackside import jobs
from trackside.embedded.process import wait_until
from trackside.jobs import child
from trackside.jobs.models import OPEN, Task
from trackside.jobs.schedule import serve as serve_schedule
from trackside.jobs.sweep import sweep
from trackside.jobs.worker import serve as serve_worker
from trackside.process import die_with
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings
from trackside.testing import probe
from trackside.workspace import fact

_fork = multiprocessing.get_context("fork")
PATIENCE = 120.0
"""Seconds to wait for a condition: what a machine that does much else may need."""


def _main(settings: Settings, said: int, grace: int, command: tuple[str, ...], max_jobs: int) -> None:
    die_with(os.getppid())
    os.setsid()
    faulthandler.disable()  # some jobs crash on purpose
    os.dup2(said, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    sys.stdout = os.fdopen(os.dup(said), "w", buffering=1)
    child.GRACE = grace
    runtime = build_runtime(settings, probe.registry())
    if command[0] == "schedule":
        serve_schedule(runtime)
    else:
        serve_worker(runtime, command[1], max_jobs=max_jobs)


class Work:
    """Processes forked from the test's own, and the tasks they do."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._running: list[BaseProcess] = []
        self._said: list[IO[str]] = []

    def start(self, *command: str, max_jobs: int = 1000, grace: int = child.GRACE) -> BaseProcess:
        """Start `worker QUEUE` or `schedule`; it is ready when this returns. `grace`: see `child.GRACE`."""
        reading, writing = os.pipe()
        arguments = (self.runtime.settings, writing, grace, command, max_jobs)
        process = _fork.Process(target=_main, args=arguments, daemon=True)
        process.start()
        os.close(writing)
        said = os.fdopen(reading)
        self._said.append(said)
        self._running.append(process)
        line = said.readline()
        if not line.startswith("READY"):
            raise AssertionError(f"{command} did not start: {line!r}")
        return process

    def stop(self) -> None:
        """Kill whatever still runs, stopped children too."""
        for process in self._running:
            process.kill()
            process.join()
        for said in self._said:
            said.close()

    def enqueue(self, kind: str, **args: object) -> int:
        """Write a task of the probe's and return its id."""
        with self.runtime.database.session() as session:
            return jobs.enqueue(session, f"probe.{kind}", args)

    def task(self, task_id: int) -> Task:
        """Return the task as it is now."""
        with self.runtime.database.session() as session:
            return session.get_one(Task, task_id)

    def ended(self, task_id: int) -> Task:
        """Return the task once it is done, failed or discarded."""
        self.until(lambda: self.task(task_id).state not in OPEN, f"task {task_id} to end")
        return self.task(task_id)

    def effects(self, name: str) -> int:
        """Return how often `name` took effect."""
        with self.runtime.database.session() as session:
            return probe.counted(session, name)

    def begun(self, name: str, times: int = 1) -> int:
        """Wait until the held job `name` has begun `times` times; return its process's id."""
        self.until(lambda: self.effects(f"{name}:begun") >= times, f"{name} to begin")
        with self.runtime.database.session() as session:
            return int(fact(session, f"pid:{name}") or 0)

    def let_go(self, name: str) -> None:
        """Let the held job `name` go on."""
        with self.runtime.database.session() as session:
            probe.release(session, name)

    def set_task(self, task_id: int, **values: object) -> None:
        """Change the task's row behind everyone's back."""
        with self.runtime.database.session() as session:
            session.execute(update(Task).where(Task.id == task_id).values(**values))

    def expire(self, task_id: int) -> None:
        """Let the lease run out now, instead of after 30 s."""
        self.set_task(task_id, lease_until=func.now() - timedelta(seconds=1))

    def ring_again(self, task_id: int) -> None:
        """Do what the sweeper does in the next minute, without the back-off."""
        sweep(self.runtime)
        self.set_task(task_id, not_before=func.now())
        sweep(self.runtime)

    @staticmethod
    def until(condition: Callable[[], bool], what: str) -> None:
        """Wait for `condition`, and fail the test where it does not come."""
        if not wait_until(condition, PATIENCE, 0.02):
            raise AssertionError(f"waited {PATIENCE:g} s for {what}")


def alive(pid: int) -> bool:
    """Whether the process runs, and is no zombie (Linux; elsewhere whether it is there)."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    if sys.platform == "linux":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
