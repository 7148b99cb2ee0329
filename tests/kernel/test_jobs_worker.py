"""What a worker promises, with real worker processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from trackside import jobs
from trackside.embedded.process import wait_until
from trackside.jobs.models import Task
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.testing import probe

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def registry() -> Registry:
    return probe.registry()


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Start `python -m trackside.testing.probe ...`; ready when this returns."""
    running: list[subprocess.Popen[str]] = []

    def run(*command: str) -> "subprocess.Popen[str]":
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACKSIDE_")}
        environ |= {"TRACKSIDE_SECRET_KEY": settings.secret_key, "TRACKSIDE_DATABASE_URL": settings.database_url}
        environ |= {"TRACKSIDE_REDIS_URL": settings.redis_url, "TRACKSIDE_DATA": str(settings.data)}
        argv = [sys.executable, "-m", "trackside.testing.probe", *command]
        process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("READY")
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()


def enqueue(runtime: Runtime, kind: str, **args: object) -> int:
    with runtime.database.session() as session:
        return jobs.enqueue(session, f"probe.{kind}", args)


def task(runtime: Runtime, task_id: int) -> Task:
    with runtime.database.session() as session:
        return session.get_one(Task, task_id)


def ended(runtime: Runtime, task_id: int, seconds: float = 20) -> Task:
    """Return the task once it is done, failed or discarded."""
    assert wait_until(lambda: task(runtime, task_id).state not in {"waiting", "running"}, seconds, 0.05)
    return task(runtime, task_id)


def effects(runtime: Runtime, name: str) -> int:
    with runtime.database.session() as session:
        return probe.counted(session, name)


def test_a_task_is_done_and_takes_effect(runtime: Runtime, start: Start) -> None:
    start("worker", "default")
    done = ended(runtime, enqueue(runtime, "effect", name="one"))
    assert (done.state, done.attempts, done.error, effects(runtime, "one")) == ("done", 1, None, 1)


def test_a_worker_ends_cleanly_when_asked(start: Start) -> None:
    worker = start("worker", "default")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=10) == 0
