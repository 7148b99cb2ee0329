"""A module whose jobs misbehave on purpose, for `trackside.testing.work`.

Tests hold a job at a known place with `held` and let it go with `release`; every effect is counted in the database, so
that a test can say "exactly once".
"""

import ctypes
import os
import time
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import Integer, Text, cast, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside import jobs
from trackside.errors import Conflict
from trackside.module import Job, Module, Tick
from trackside.registry import Registry, load_registry
from trackside.runtime import Runtime
from trackside.workspace import WorkspaceFact, fact, set_fact

SECOND = timedelta(seconds=1)


def _job(kind: str, timeout: timedelta = 60 * SECOND, attempts: int = 2, queue: str = "default") -> Job:
    return Job(f"probe.{kind}", f"trackside.testing.probe:{kind}", queue, timeout, attempts)


MODULE = Module(
    name="probe",
    title="Probe",
    jobs=(
        _job("effect"),
        _job("held", attempts=3),
        _job("broken"),
        _job("refused", attempts=5),
        _job("segfault"),
        _job("hog", attempts=1),
        _job("endless", SECOND, attempts=1),
        _job("stubborn", SECOND, attempts=1),
        _job("slow_statement", 2 * SECOND, attempts=1),
        _job("chime", queue="chimes"),
    ),
    ticks=(
        Tick("probe.hourly", "probe.effect", timedelta(hours=1)),
        Tick("probe.second", "probe.chime", SECOND, durable=False),
    ),
)


def registry() -> Registry:
    """Return the real modules and this one."""
    return Registry((*load_registry().modules, MODULE))


def count(session: Session, name: str) -> None:
    """Count one effect called `name`, in the session's transaction."""
    one_more = cast(cast(WorkspaceFact.value, Integer) + 1, Text)
    statement = insert(WorkspaceFact).values(key=f"effect:{name}", value="1")
    session.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": one_more}))


def counted(session: Session, name: str) -> int:
    """Return how often `name` took effect."""
    return int(fact(session, f"effect:{name}") or 0)


def effect(runtime: Runtime, name: str = "effect") -> None:
    """Take effect once."""
    with jobs.fenced(runtime, finish=True) as session:
        count(session, name)


def chime(runtime: Runtime) -> None:
    """Take effect, without a task."""
    with jobs.fenced(runtime) as session:
        count(session, "chime")


def held(runtime: Runtime, name: str) -> None:
    """Say that it has begun, wait for `release`, then take effect through the fence."""
    _wait(runtime, name)
    with jobs.fenced(runtime, finish=True) as session:
        count(session, name)


def _wait(runtime: Runtime, name: str) -> None:
    with runtime.database.session() as session:
        count(session, f"{name}:begun")
        set_fact(session, f"pid:{name}", str(os.getpid()))
    while True:
        with runtime.database.session() as session:
            if fact(session, f"release:{name}"):
                return
        time.sleep(0.02)


def release(session: Session, name: str) -> None:
    """Let the job held as `name` go on."""
    set_fact(session, f"release:{name}", "yes")


def broken(runtime: Runtime) -> None:
    """Fail, with a message that nobody should find in a reason."""
    raise ValueError("secret@example.com")


def refused(runtime: Runtime) -> None:
    """Fail in a way that trying again cannot mend."""
    raise Conflict("This can never work.")


def segfault(runtime: Runtime) -> None:
    """Die of a bad pointer."""
    ctypes.string_at(0)


def hog(runtime: Runtime) -> None:
    """Take all memory there is."""
    taken = []
    while True:
        taken.append(bytes(64 << 20))  # mapped, never touched: the limit is what ends it


def endless(runtime: Runtime) -> None:
    """Never end, catching every Exception."""
    while True:
        with suppress(Exception):
            time.sleep(0.01)


def stubborn(runtime: Runtime) -> None:
    """Never end, and catch even what ends processes."""
    while True:
        with suppress(BaseException):
            time.sleep(0.01)


def slow_statement(runtime: Runtime) -> None:
    """Let PostgreSQL work for longer than the job may."""
    with runtime.database.session() as session:
        session.execute(func.pg_sleep(30).select())
