"""What the outbox promises: at least once, under an id that stays the same."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.errors import NotFound
from trackside.jobs import outbox, run
from trackside.jobs.models import Delivery, Task
from trackside.registry import Registry, load_registry
from trackside.runtime import Runtime

recorder = outbox.Recorder()


def build(_: Runtime) -> outbox.Recorder:
    return recorder


class Failing:
    def send(self, delivery_id: str, payload: Mapping[str, Any]) -> None:
        raise OSError("receiver@example.com is away")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    recorder.sent.clear()
    monkeypatch.setattr(outbox, "resolve", lambda ref: build)
    *others, last = load_registry().modules
    return Registry((*others, replace(last, senders={"recorder": "tests:build"})))


def post(runtime: Runtime) -> tuple[int, str]:
    """Post a mail; return its task's id and its delivery id."""
    with runtime.database.session() as session:
        delivery_id = outbox.post(session, "recorder", {"to": "ann@example.com"})
        return session.scalars(select(Task.id)).one(), delivery_id


def delivery(session: Session) -> Delivery:
    return session.scalars(select(Delivery)).one()


def test_what_is_posted_is_sent_once_and_its_payload_is_emptied(runtime: Runtime, session: Session) -> None:
    task_id, delivery_id = post(runtime)
    run.task(runtime, "token", task_id, outbox.SEND)
    assert recorder.sent == [(delivery_id, {"to": "ann@example.com"})]
    assert delivery(session).sent_at is not None
    assert delivery(session).payload == {}
    outbox.send(runtime, delivery(session).id)
    assert len(recorder.sent) == 1


def test_a_rolled_back_change_sends_nothing(runtime: Runtime, session: Session) -> None:
    outbox.post(session, "recorder", {"to": "ann@example.com"})
    session.rollback()
    assert session.scalars(select(Delivery)).all() == []
    assert session.scalars(select(Task)).all() == []


def test_a_worker_that_dies_after_sending_sends_again_under_the_same_id(
    runtime: Runtime, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id, delivery_id = post(runtime)
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "fenced", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.task(runtime, "one", task_id, outbox.SEND)
    assert delivery(session).sent_at is None
    outbox.send(runtime, delivery(session).id)
    assert [each for each, _ in recorder.sent] == [delivery_id, delivery_id]


def test_a_receiver_that_is_away_is_tried_again_and_its_words_are_not_kept(
    runtime: Runtime, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder.__class__, "send", Failing.send)
    task_id, _ = post(runtime)
    run.task(runtime, "token", task_id, outbox.SEND)
    task = session.get_one(Task, task_id)
    assert task.state == "waiting"
    assert "OSError" in (task.error or "")
    assert "receiver" not in (task.error or "")


def test_a_channel_nobody_has_fails_for_good(runtime: Runtime, session: Session) -> None:
    with runtime.database.session() as other:
        outbox.post(other, "pigeon", {})
    task_id = session.scalars(select(Task.id)).one()
    run.task(runtime, "token", task_id, outbox.SEND)
    assert session.get_one(Task, task_id).state == "failed"
    with pytest.raises(NotFound, match="pigeon"):
        outbox.sender_of(runtime, "pigeon")


def test_the_console_names_fields_only(capsys: pytest.CaptureFixture[str]) -> None:
    outbox.Console().send("id", {"to": "ann@example.com"})
    assert "ann@example.com" not in "".join(capsys.readouterr())
