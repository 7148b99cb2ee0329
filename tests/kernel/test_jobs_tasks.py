"""What tasks promise, seen from their table."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from trackside.errors import Conflict, NotFound
from trackside.jobs import tasks
from trackside.jobs.models import STATES, Task

KIND = "probe.effect"


def row(session: Session, task_id: int) -> Task:
    session.expire_all()
    return session.get_one(Task, task_id)


def begin(session: Session, token: str = "mine", **options: str) -> int:
    task_id = tasks.enqueue(session, KIND, **options)  # type: ignore[arg-type]
    assert tasks.take(session, task_id, KIND, token) is not None
    return task_id


def run_out(session: Session, task_id: int) -> None:
    session.execute(update(Task).where(Task.id == task_id).values(lease_until=func.now() - timedelta(seconds=1)))


def test_a_task_is_taken_once(session: Session) -> None:
    task_id = begin(session)
    assert tasks.take(session, task_id, KIND, "other") is None


def test_a_task_of_another_kind_is_not_taken(session: Session) -> None:
    assert tasks.take(session, tasks.enqueue(session, KIND), "probe.other", "mine") is None


def test_a_task_is_not_taken_before_its_time(session: Session) -> None:
    later = session.scalar(select(func.now() + text("interval '1 hour'")))
    assert tasks.take(session, tasks.enqueue(session, KIND, not_before=later), KIND, "mine") is None


def test_a_lease_that_ran_out_goes_to_the_next_and_the_old_holder_changes_nothing(session: Session) -> None:
    task_id = begin(session, "old")
    run_out(session, task_id)
    assert tasks.take(session, task_id, KIND, "new") is not None
    assert not tasks.extend(session, task_id, "old")
    assert not tasks.finish(session, task_id, "old")
    assert not tasks.fail(session, task_id, "old", "late", max_attempts=1)
    assert tasks.finish(session, task_id, "new")
    assert (row(session, task_id).state, row(session, task_id).error) == ("done", None)


def test_an_open_task_with_the_same_key_is_the_same_task(session: Session) -> None:
    first = tasks.enqueue(session, KIND, dedupe_key="rebuild:1")
    assert tasks.enqueue(session, KIND, dedupe_key="rebuild:1") == first
    assert tasks.enqueue(session, KIND, dedupe_key="rebuild:2") != first


def test_what_is_asked_for_while_it_runs_runs_once_more(session: Session) -> None:
    task_id = begin(session, dedupe_key="rebuild:1")
    assert tasks.enqueue(session, KIND, dedupe_key="rebuild:1") == task_id
    assert tasks.finish(session, task_id, "mine")
    assert (row(session, task_id).state, row(session, task_id).attempts) == ("waiting", 0)
    assert tasks.take(session, task_id, KIND, "mine") is not None
    assert tasks.finish(session, task_id, "mine")
    assert row(session, task_id).state == "done"


def test_a_key_is_free_again_once_its_task_has_ended(session: Session) -> None:
    task_id = begin(session, dedupe_key="rebuild:1")
    tasks.finish(session, task_id, "mine")
    assert tasks.enqueue(session, KIND, dedupe_key="rebuild:1") != task_id


def test_a_rolled_back_change_leaves_no_task(session: Session) -> None:
    with session.begin_nested() as savepoint:
        task_id = tasks.enqueue(session, KIND)
        savepoint.rollback()
    assert session.get(Task, task_id) is None


@pytest.mark.parametrize(("attempts", "wait"), [(1, 2), (2, 4), (5, 32), (40, 900)])
def test_a_failed_attempt_waits_twice_as_long_as_the_one_before(session: Session, attempts: int, wait: int) -> None:
    task_id = begin(session)
    session.execute(update(Task).where(Task.id == task_id).values(attempts=attempts))
    assert tasks.fail(session, task_id, "mine", "it broke", max_attempts=100)
    waits = session.scalar(select(Task.not_before - func.now()).where(Task.id == task_id))
    assert waits == timedelta(seconds=wait)


def test_after_its_last_attempt_a_task_has_failed(session: Session) -> None:
    task_id = begin(session)
    assert tasks.fail(session, task_id, "mine", "x" * 10_000, max_attempts=1)
    failed = row(session, task_id)
    assert (failed.state, failed.lease_token, len(failed.error or "")) == ("failed", None, tasks.REASON_LENGTH)
    assert failed.finished_at is not None


def test_silent_workers_lose_their_tasks(session: Session) -> None:
    again, over, fine = begin(session), begin(session), begin(session)
    session.execute(update(Task).where(Task.id == over).values(attempts=3))
    run_out(session, again)
    run_out(session, over)
    assert tasks.free_expired(session, {KIND: 3}) == 2
    assert [row(session, each).state for each in (again, over, fine)] == ["waiting", "failed", "running"]


def test_a_discarded_task_can_be_retried(session: Session) -> None:
    task_id = tasks.enqueue(session, KIND)
    tasks.discard(session, task_id)
    assert row(session, task_id).state == "discarded"
    tasks.retry(session, task_id)
    assert (row(session, task_id).state, row(session, task_id).attempts) == ("waiting", 0)


def test_a_running_task_is_neither_discarded_nor_retried(session: Session) -> None:
    task_id = begin(session)
    with pytest.raises(Conflict, match="is running"):
        tasks.discard(session, task_id)
    with pytest.raises(Conflict, match="is running"):
        tasks.retry(session, task_id)


def test_a_task_is_not_retried_while_the_same_work_is_open(session: Session) -> None:
    old = tasks.enqueue(session, KIND, dedupe_key="rebuild:1")
    tasks.discard(session, old)
    tasks.enqueue(session, KIND, dedupe_key="rebuild:1")
    with pytest.raises(Conflict, match="same work"):
        tasks.retry(session, old)


def test_a_task_that_is_not_there_is_said_so(session: Session) -> None:
    with pytest.raises(NotFound):
        tasks.retry(session, 2**70)


def test_ended_tasks_are_forgotten_after_their_time_and_open_ones_never(session: Session) -> None:
    ids = {state: tasks.enqueue(session, KIND) for state in STATES}
    for state, task_id in ids.items():
        ended = None if state in {"waiting", "running"} else func.now() - timedelta(days=30)
        session.execute(update(Task).where(Task.id == task_id).values(state=state, finished_at=ended))
    session.execute(update(Task).where(Task.id == ids["discarded"]).values(finished_at=func.now() - timedelta(days=91)))
    assert tasks.forget(session) == 2
    left = set(session.scalars(select(Task.state).where(Task.id.in_(ids.values()))))
    assert left == {"waiting", "running", "failed"}


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["take-a", "take-b", "expire", "finish-a", "finish-b", "fail-a", "sweep"]), max_size=12
    )
)
def test_whatever_happens_only_the_holder_of_the_lease_finishes(session: Session, steps: list[str]) -> None:
    task_id, holder = tasks.enqueue(session, KIND), None
    for step in steps:
        verb, _, who = step.partition("-")
        if verb == "take":
            holder = who if tasks.take(session, task_id, KIND, who) else holder
        elif verb == "expire" and holder:
            run_out(session, task_id)
        elif verb == "finish":
            assert tasks.finish(session, task_id, who) == (who == holder)
            holder = None if who == holder else holder
        elif verb == "fail":
            assert tasks.fail(session, task_id, who, "no", max_attempts=99) == (who == holder)
            holder = None if who == holder else holder
        elif verb == "sweep" and tasks.free_expired(session, {KIND: 99}):
            # it may have been those of earlier examples, whose leases ran out by themselves
            state = session.scalar(select(Task.state).where(Task.id == task_id))
            holder = holder if state == "running" else None
    assert row(session, task_id).lease_token == holder
