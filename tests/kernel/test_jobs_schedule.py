"""What the schedule promises."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from trackside.clock import FrozenClock
from trackside.embedded.valkey import Valkey
from trackside.jobs import bells
from trackside.jobs.models import Task, TickClaim
from trackside.jobs.schedule import Scheduler, slot_of
from trackside.module import Tick
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.testing import probe
from trackside.testing.work import Work

HOUR = timedelta(hours=1)


@pytest.fixture
def registry() -> Registry:
    return Registry((probe.MODULE,))


@pytest.fixture
def work(runtime: Runtime) -> Iterator[Work]:
    made = Work(runtime)
    yield made
    made.stop()


def hourly(runtime: Runtime) -> int:
    """Return how many tasks the hourly tick has written."""
    with runtime.database.session() as session:
        return session.scalar(select(func.count()).where(Task.kind == "probe.effect")) or 0


def finish_all(runtime: Runtime) -> None:
    with runtime.database.session() as session:
        session.execute(text("update task set state = 'done', finished_at = now()"))


@given(at=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), every=st.integers(1, 10**6))  # noqa: DTZ001
def test_a_moment_is_in_its_own_slot(at: datetime, every: int) -> None:
    tick, moment = Tick("t", "k", timedelta(seconds=every)), at.replace(tzinfo=UTC)
    slot = slot_of(tick, moment)
    assert slot <= moment < slot + tick.every
    assert slot_of(tick, slot) == slot


def test_two_schedulers_write_one_task_for_a_tick(runtime: Runtime, clock: FrozenClock) -> None:
    first, second = Scheduler(runtime), Scheduler(runtime)
    first.step()
    second.step()
    assert hourly(runtime) == 1
    finish_all(runtime)
    clock.advance(HOUR)
    second.step()
    first.step()
    assert hourly(runtime) == 2


def test_after_an_outage_one_missed_tick_is_caught_up(runtime: Runtime, clock: FrozenClock) -> None:
    Scheduler(runtime).step()
    finish_all(runtime)
    clock.advance(5 * HOUR + timedelta(minutes=20))
    Scheduler(runtime).step()
    Scheduler(runtime).step()
    assert hourly(runtime) == 2


def test_a_tick_whose_last_task_still_waits_does_not_pile_up(runtime: Runtime, clock: FrozenClock) -> None:
    for _ in range(4):
        Scheduler(runtime).step()
        clock.advance(HOUR)
    assert hourly(runtime) == 1


def test_bells_without_a_task_do_not_pile_up_while_their_worker_is_away(
    runtime: Runtime, clock: FrozenClock, redis_client: "Redis[bytes]"
) -> None:
    scheduler = Scheduler(runtime)
    for _ in range(10):
        scheduler.step()
        clock.advance(timedelta(seconds=1))
    assert redis_client.llen("rq:queue:chimes") == 1
    assert 0 < redis_client.ttl(f"rq:job:{redis_client.lindex('rq:queue:chimes', 0).decode()}") <= 30
    with runtime.database.session() as session:
        assert session.scalar(select(func.count()).where(Task.kind == "probe.chime")) == 0


def test_old_claims_are_deleted_and_the_last_one_stays(runtime: Runtime, clock: FrozenClock) -> None:
    scheduler = Scheduler(runtime)
    for _ in range(200):
        scheduler.step()
        clock.advance(timedelta(seconds=1))
    with runtime.database.session() as session:
        kept = session.scalar(select(func.count()).where(TickClaim.name == "probe.second")) or 0
        assert session.scalar(select(func.count()).where(TickClaim.name == "probe.hourly")) == 1
    assert 1 <= kept <= 70


def test_the_schedule_goes_on_while_redis_is_away(runtime: Runtime, valkey: Valkey) -> None:
    valkey.stop()
    try:
        Scheduler(runtime).step()
    finally:
        valkey.start()
    assert hourly(runtime) == 1
    assert not bells.ring(runtime, "probe.chime"), "who has just failed to ring does not wait again at once"


def test_a_tick_that_could_not_be_written_is_rung_when_the_database_is_back(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(runtime)

    def away(*_: object, **__: object) -> None:
        raise OperationalError("insert", None, Exception("gone"))

    with monkeypatch.context() as patched:
        patched.setattr("trackside.jobs.schedule.enqueue", away)
        with pytest.raises(OperationalError):
            scheduler.step()
    scheduler.step()
    assert hourly(runtime) == 1


def test_two_real_schedulers_ring_and_workers_answer(work: Work) -> None:
    work.start("schedule")
    work.start("schedule")
    work.start("worker", "default")
    work.start("worker", "chimes")
    work.until(lambda: work.effects("chime") >= 2 and work.effects("effect") == 1, "both ticks")
    assert hourly(work.runtime) == 1


def test_a_real_scheduler_outlives_the_database(work: Work) -> None:
    scheduler = work.start("schedule")
    with work.runtime.database.engine.connect() as connection:
        cut = text(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        connection.execute(cut)
    claims = select(func.max(TickClaim.slot)).where(TickClaim.name == "probe.second")
    with work.runtime.database.session() as session:
        before = session.scalar(claims)

    def went_on() -> bool:
        with work.runtime.database.session() as session:
            return bool(session.scalar(claims) > before)

    work.until(went_on, "the next tick")
    assert scheduler.is_alive()
