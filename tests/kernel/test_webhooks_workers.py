"""A receiver that hangs holds up neither other work nor, for long, other receivers; with real workers."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from trackside.auth.audit import COMMAND_LINE
from trackside.embedded.process import wait_until
from trackside.jobs.models import DONE, Task
from trackside.jobs.tasks import enqueue
from trackside.net import Network
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.testing.receiver import Receiver, listening
from trackside.webhooks import Happened, publish, service
from trackside.webhooks.models import Endpoint
from trackside.webhooks.service import Wanted

PATIENCE = 120.0


@pytest.fixture
def workers(settings: Settings) -> Iterator[None]:
    """A worker of the default queue, and one of the webhooks'."""
    environ = {"TRACKSIDE_SECRET_KEY": settings.secret_key, "TRACKSIDE_DATABASE_URL": settings.database_url}
    environ |= {"TRACKSIDE_REDIS_URL": settings.redis_url, "TRACKSIDE_DATA": str(settings.data)}
    environ |= {"TRACKSIDE_OUTBOUND_NETWORKS": "127.0.0.0/8"}
    program = Path(sys.executable).with_name("trackside")
    with ExitStack() as stack:
        started = []
        for queue in ("default", "webhooks"):
            process = subprocess.Popen([program, "worker", queue], env=environ, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append((queue, process))
        for queue, process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == f"READY worker {queue}\n"
        yield


@pytest.fixture
def hanging() -> Iterator[str]:
    """An address that takes what is sent, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as made:
        yield made


def test_a_receiver_that_hangs_delays_no_other_work_and_others_a_few_seconds(
    runtime: Runtime, hanging: str, receiver: Receiver, workers: None
) -> None:
    now = runtime.clock.now()
    with runtime.database.session() as session:
        for name, url in (("Dead", hanging), ("Alive", receiver.url)):
            key = runtime.settings.secret_key
            service.add(session, Wanted(name, url, ["*"]), key, who=COMMAND_LINE, now=now)
    with runtime.database.session() as session:
        # what it tells of does not matter here: a test is sent whatever is wanted
        for each in service_ids(runtime):
            service.try_out(session, each, now=now)
        publish(session, [Happened("support.interaction.created", {"number": 1, "seq": 1}, now)])
        other = enqueue(session, "support.forget_imports")

    assert wait_until(lambda: state(runtime, other) == DONE, PATIENCE)
    assert wait_until(lambda: len(receiver.got) >= 1, PATIENCE)
    # by what the tasks say of themselves: who asks may be late
    with runtime.database.session() as session:
        work = session.get_one(Task, other)
        dead = session.query(Task).filter_by(kind="webhooks.push").order_by(Task.id).first()
        assert dead is not None
        assert work.started_at is not None
        assert dead.finished_at is None or work.started_at < dead.finished_at, "the dead one was being tried meanwhile"


def test_while_an_address_is_resolved_nobody_waits_for_its_row(
    runtime: Runtime, client: FlaskClient, api_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime.database.session() as session:
        wanted, key = Wanted("Receiver", "https://receiver.example/", ["*"]), runtime.settings.secret_key
        number = service.add(session, wanted, key, who=COMMAND_LINE, now=runtime.clock.now())[0].id
    locked = []

    def resolve(_host: str, _port: int) -> list[str]:
        with runtime.database.session() as session:
            query = select(Endpoint.id).where(Endpoint.id == number).with_for_update(nowait=True)
            locked.append(session.scalar(query))
        return ["8.8.8.8"]

    monkeypatch.setattr("trackside.webhooks.api.network_of", lambda _: Network(resolve=resolve))
    answer = client.patch(
        f"/api/v1/webhooks/{number}",
        json={"url": "https://other.example/hook"},
        headers={"Authorization": f"Bearer {api_key('admin', scopes=['webhooks:write', 'support:read'])}"},
    )
    assert (answer.status_code, locked) == (200, [number])


def service_ids(runtime: Runtime) -> list[int]:
    from trackside.webhooks import queries

    with runtime.database.session() as session:
        return sorted(each.id for each in queries.endpoints(session))


def state(runtime: Runtime, task_id: int) -> str:
    with runtime.database.session() as session:
        return session.get_one(Task, task_id).state
