"""What a worker promises, with real worker processes."""

import os
import pickle
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from trackside import jobs
from trackside.embedded.valkey import Valkey
from trackside.jobs import bells
from trackside.jobs.answer import answered_job
from trackside.jobs.sweep import sweep
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.testing import probe
from trackside.testing.work import Work, alive


@pytest.fixture
def registry() -> Registry:
    return probe.registry()


@pytest.fixture
def work(runtime: Runtime) -> Iterator[Work]:
    made = Work(runtime)
    yield made
    made.stop()


def test_a_task_is_done_and_takes_effect(work: Work) -> None:
    work.start("worker", "default")
    done = work.ended(work.enqueue("effect", name="one"))
    assert (done.state, done.attempts, done.error, work.effects("one")) == ("done", 1, None, 1)


def test_the_command_says_when_it_is_ready_and_ends_cleanly_when_asked(settings: Settings) -> None:
    environ = {"TRACKSIDE_SECRET_KEY": settings.secret_key, "TRACKSIDE_DATABASE_URL": settings.database_url}
    environ |= {"TRACKSIDE_REDIS_URL": settings.redis_url, "TRACKSIDE_DATA": str(settings.data)}
    command = [Path(sys.executable).with_name("trackside"), "worker", "default"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "READY worker default\n"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=120) == 0


def test_a_worker_killed_mid_job_takes_its_child_along_and_the_task_takes_effect_once(work: Work) -> None:
    worker = work.start("worker", "default")
    task_id = work.enqueue("held", name="one")
    child = work.begun("one")
    worker.kill()
    work.until(lambda: not alive(child), "the child to die")
    work.start("worker", "default")
    work.expire(task_id)
    sweep(work.runtime)
    assert work.task(task_id).state == "waiting"
    work.ring_again(task_id)
    work.begun("one", 2)
    work.let_go("one")
    done = work.ended(task_id)
    assert (done.state, done.attempts, work.effects("one")) == ("done", 2, 1)


def test_a_child_killed_alone_is_written_down_and_tried_again(work: Work) -> None:
    work.start("worker", "default")
    task_id = work.enqueue("held", name="one")
    os.kill(work.begun("one"), signal.SIGKILL)
    work.until(lambda: work.task(task_id).state == "waiting", "the task to wait")
    assert "SIGKILL" in (work.task(task_id).error or "")
    work.let_go("one")
    work.ring_again(task_id)
    assert work.ended(task_id).state == "done"
    assert work.effects("one") == 1


def test_a_bell_lost_between_dequeue_and_start_is_rung_again(work: Work, redis_client: "Redis[bytes]") -> None:
    task_id = work.enqueue("effect", name="one")
    # what a worker leaves behind that is killed right after it took the bell
    assert redis_client.lmove("rq:queue:default", "rq:queue:default:intermediate") is not None
    assert sweep(work.runtime) == 1
    work.start("worker", "default")
    assert work.ended(task_id).state == "done"
    assert work.effects("one") == 1


def test_a_flushed_redis_loses_no_task_and_the_worker_registers_again(work: Work, redis_client: "Redis[bytes]") -> None:
    work.start("worker", "default")
    held = work.enqueue("held", name="one")
    work.begun("one")
    waiting = work.enqueue("effect", name="two")
    redis_client.flushall()
    work.let_go("one")
    assert work.ended(held).state == "done"
    assert sweep(work.runtime) == 1
    assert work.ended(waiting).state == "done"
    assert (work.effects("one"), work.effects("two")) == (1, 1)
    work.until(lambda: redis_client.scard("rq:workers:default") == 1, "the worker to register")


def test_a_lost_reply_of_redis_rings_once(
    work: Work, redis_client: "Redis[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    done = work.runtime.redis.queue.execute_command

    def then_lost(*args: object, **options: object) -> object:
        answer = done(*args, **options)
        if str(args[0]).startswith("EVAL"):
            raise RedisConnectionError("the reply never came")
        return answer

    monkeypatch.setattr(work.runtime.redis.queue, "execute_command", then_lost)
    task_id = work.enqueue("effect", name="one")
    monkeypatch.undo()
    assert redis_client.llen("rq:queue:default") == 1
    assert sweep(work.runtime) == 0
    work.start("worker", "default")
    assert work.ended(task_id).attempts == 1


def test_two_bells_of_one_task_take_effect_once(work: Work) -> None:
    task_id = work.enqueue("effect", name="one")
    job = bells.job_of(work.runtime, "probe.effect")
    assert job is not None
    assert bells.ring_task(work.runtime, job, task_id, "again")
    work.start("worker", "default")
    last = work.enqueue("effect", name="last")
    assert work.ended(last).state == "done"
    assert (work.task(task_id).attempts, work.effects("one")) == (1, 1)


def test_a_paused_worker_cannot_commit_once_another_has_its_task(work: Work) -> None:
    work.start("worker", "default")
    task_id = work.enqueue("held", name="one")
    paused = work.begun("one")
    os.kill(paused, signal.SIGSTOP)
    try:
        work.expire(task_id)
        work.start("worker", "default")
        work.ring_again(task_id)
        work.begun("one", 2)
        work.let_go("one")
        assert work.ended(task_id).state == "done"
    finally:
        os.kill(paused, signal.SIGCONT)
    work.until(lambda: not alive(paused), "the old child to end")
    assert work.effects("one") == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("segfault", "ended by SIGSEGV"),
        ("hog", "more memory than a job may have"),
        ("endless", "ran longer than its 1 s"),
        ("slow_statement", "OperationalError in "),
    ],
)
def test_a_poisonous_job_fails_with_a_reason_and_does_not_block_the_queue(work: Work, kind: str, reason: str) -> None:
    work.start("worker", "default")
    poison, next_one = work.enqueue(kind), work.enqueue("effect", name="next")
    assert work.ended(next_one).state == "done"
    work.until(lambda: work.task(poison).error is not None, "the reason")
    assert re.search(reason, work.task(poison).error or "")


def test_a_job_that_swallows_its_timeout_is_killed(work: Work) -> None:
    work.start("worker", "default", grace=1)
    poison, next_one = work.enqueue("stubborn"), work.enqueue("effect", name="next")
    assert work.ended(next_one).state == "done"
    found = work.ended(poison)
    assert found.state == "failed"
    assert "did not end" in (found.error or "")


def test_a_failure_is_told_without_the_message_of_a_foreign_error(work: Work) -> None:
    work.start("worker", "default")
    task_id = work.enqueue("broken")
    work.until(lambda: work.task(task_id).error is not None, "the reason")
    work.ring_again(task_id)
    failed = work.ended(task_id)
    assert (failed.state, failed.attempts) == ("failed", 2)
    assert "ValueError in probe.py" in (failed.error or "")
    assert "secret" not in (failed.error or "")


def test_what_can_never_work_is_not_tried_again(work: Work) -> None:
    work.start("worker", "default")
    failed = work.ended(work.enqueue("refused"))
    assert (failed.state, failed.attempts, failed.error) == ("failed", 1, "This can never work.")


def test_a_worker_outlives_redis(work: Work, valkey: Valkey) -> None:
    worker = work.start("worker", "default")
    held = work.enqueue("held", name="one")
    work.begun("one")
    valkey.stop()
    work.let_go("one")
    assert work.ended(held).state == "done"
    while_away = work.enqueue("effect", name="two")
    valkey.start()
    work.until(lambda: sweep(work.runtime) >= 1 or work.task(while_away).state == "done", "the bell")
    assert work.ended(while_away).state == "done"
    assert worker.is_alive()
    assert (work.effects("one"), work.effects("two")) == (1, 1)


def test_a_bell_without_a_task_is_answered(work: Work) -> None:
    work.start("worker", "chimes")
    assert jobs.ring(work.runtime, "probe.chime")
    work.until(lambda: work.effects("chime") == 1, "the chime")


def test_a_worker_ends_cleanly_after_its_share_of_jobs(work: Work) -> None:
    for number in range(3):
        work.enqueue("effect", name=str(number))
    worker = work.start("worker", "default", max_jobs=2)
    worker.join(180)
    assert worker.exitcode == 0
    assert sum(work.effects(str(number)) for number in range(3)) == 2


def forge(redis_client: "Redis[bytes]", job_id: str, data: bytes, **fields: str | bytes) -> None:
    """Write a job into Redis as someone would who found its address."""
    hash_: dict[str | bytes, bytes | float | int | str] = {
        "data": data, "origin": "default", "status": "queued", "timeout": "3600", "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    redis_client.hset(f"rq:job:{job_id}", mapping={**hash_, **fields})
    redis_client.rpush("rq:queue:default", job_id)


@pytest.mark.parametrize(
    "data",
    [
        b'["os.system", null, ["touch {file}"], {}]',
        b'["trackside.testing.probe.touch", null, ["{file}"], {}]',
        b'["trackside.jobs.run.task", "os", [1, "probe.effect"], {}]',
        b'["trackside.jobs.run.bell", null, ["os.system"], {}]',
        b'["trackside.jobs.run.task", null, [1, "probe.effect"], {"x": "y"}]',
        pickle.dumps(("os.system", None, ("touch {file}",), {})),
        b"\xff\x00 garbage",
        b"[" * 5000,
    ],
)
def test_a_forged_job_is_refused(work: Work, redis_client: "Redis[bytes]", tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "touched"
    forge(redis_client, "evil", zlib.compress(data.replace(b"{file}", str(file).encode())))
    honest = work.enqueue("effect")
    work.start("worker", "default")
    assert work.ended(honest).state == "done"
    assert not file.exists()
    assert not redis_client.exists("rq:job:evil")
    assert redis_client.llen("rq:queue:default:intermediate") == 0


def test_what_rq_could_be_told_besides_is_not_read(runtime: Runtime, redis_client: "Redis[bytes]") -> None:
    bell = b'["trackside.jobs.run.bell", null, ["probe.chime"], {}]'
    callbacks = dict.fromkeys(("success_callback_name", "failure_callback_name", "stopped_callback_name"), "os.abort")
    forge(redis_client, "evil", zlib.compress(bell), **callbacks, webhooks='[{"url": "http://127.0.0.1:1/"}]')
    found = answered_job(runtime).fetch("evil", connection=redis_client, serializer="json")
    assert (found.refused, found.kind, found.timeout) == (None, "probe.chime", 60)
    assert found.success_callback is found.failure_callback is found.stopped_callback is None
    assert not found.webhooks


def test_garbage_in_the_queue_does_not_stop_the_worker(work: Work, redis_client: "Redis[bytes]") -> None:
    redis_client.set("rq:job:text", "not a hash")
    redis_client.hset("rq:job:empty", mapping={"status": "nonsense"})
    redis_client.rpush("rq:queue:default", "text", "empty", "missing", "with space", b"\xff\xfe")
    honest = work.enqueue("effect")
    work.start("worker", "default")
    assert work.ended(honest).state == "done"
