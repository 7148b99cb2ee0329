"""Exposures while PostgreSQL is frozen, neither answering nor gone: refused or kept, none lost, none counted twice."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from werkzeug.test import Client, TestResponse

from trackside.db import WatchedConnection
from trackside.embedded.postgres import Postgres
from trackside.runtime import Runtime
from trackside_modules.flags.exposures import inbox
from trackside_modules.flags.exposures.counter import shared

ONE = "/ofrep/v1/evaluate/flags/checkout"


@contextmanager
def frozen(postgres: Postgres) -> Iterator[None]:
    """Freeze the server and all that serves for it, for the length of the block."""
    main = postgres.pid
    assert main is not None
    children = Path(f"/proc/{main}/task/{main}/children")
    if not children.exists():
        pytest.skip("this system does not tell a process's children")
    every = [main, *map(int, children.read_text().split())]
    try:
        for process in every:
            os.kill(process, signal.SIGSTOP)
        yield
    finally:
        for process in every:
            os.kill(process, signal.SIGCONT)


@pytest.fixture
def lane_of_one_flag(
    lane: Client, flag: Any, change: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    monkeypatch.setattr(WatchedConnection, "patience", 0.4)
    flag("checkout")
    change("checkout", {"enabled": True})
    return shared(runtime).flush


@pytest.fixture
def post(lane: Client, api_key: Any) -> Callable[..., TestResponse]:
    headers = {"X-API-Key": str(api_key("server")), "Content-Type": "application/json"}

    def made(path: str, body: Any) -> TestResponse:
        return lane.post(path, data=json.dumps(body), headers=headers)

    return made


def _batch(name: str) -> dict[str, Any]:
    told = [{"flag": "checkout", "variant": "on", "user": f"{name}-{number}", "count": 2} for number in range(3)]
    return {"batch_id": name, "exposures": told}


def test_a_batch_for_a_frozen_database_is_refused_and_counts_once_when_it_comes_again(
    post: Any, lane_of_one_flag: Any, postgres: Postgres, counted: Any
) -> None:
    path = "/v1/flags/exposures"
    assert post(path, _batch("before")).status_code == 202
    with frozen(postgres):
        began = time.monotonic()
        refused = [post(path, _batch(name)) for name in ("first", "second", "first")]
        assert [each.status_code for each in refused] == [503, 503, 503]
        assert all(int(each.headers["Retry-After"]) > 0 for each in refused)
        assert time.monotonic() - began < 12
    # what the frozen server had been sent it may store now, though nobody waits for the answer
    again = [post(path, _batch(name)) for name in ("first", "second", "before")]
    assert [each.status_code for each in again] == [202, 202, 202]
    assert again[2].json["duplicate"] is True
    users = {f"{name}-{number}" for name in ("before", "first", "second") for number in range(3)}
    assert counted() == (18, users)


def test_flags_answer_and_are_counted_once_though_the_database_is_frozen(
    post: Any, lane_of_one_flag: Any, postgres: Postgres, counted: Any, runtime: Runtime
) -> None:
    counter = shared(runtime)
    post(ONE, {"context": {"targetingKey": "before"}})
    counter.flush()
    for number in range(5):
        assert post(ONE, {"context": {"targetingKey": f"u_{number}"}}).status_code == 200
    with frozen(postgres):
        counter.work()  # sent, and never answered: it stays on the disk
        began = time.monotonic()
        for number in range(5):
            assert post(ONE, {"context": {"targetingKey": f"v_{number}"}}).status_code == 200
        assert time.monotonic() - began < 1
        counter.work()
        assert list(counter.folder.iterdir())
    counter.flush()
    counter.flush()
    assert not list(counter.folder.iterdir())
    users = {"before", *(f"{name}_{number}" for name in "uv" for number in range(5))}
    assert counted() == (11, users)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not tell which file is meant")
def test_what_waits_for_the_database_outlives_a_power_cut_too(
    post: Any, lane_of_one_flag: Any, counted: Any, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, fsync, put = shared(runtime), os.fsync, inbox.Store.put
    synced: set[str] = set()

    def note(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        if path.is_relative_to(counter.folder):  # snapshots are synchronised too
            synced.add(str(path))
        fsync(file)

    def away(*_: Any) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(os, "fsync", note)
    post(ONE, {"context": {"targetingKey": "u_1"}})
    counter.work()
    assert not synced  # PostgreSQL has it
    monkeypatch.setattr(inbox.Store, "put", away)
    post(ONE, {"context": {"targetingKey": "u_2"}})
    counter.work()
    (sealed,) = counter.folder.iterdir()
    assert synced == {str(sealed), str(counter.folder)}
    synced.clear()
    post(ONE, {"context": {"targetingKey": "u_3"}})
    counter.work()
    (filling,) = set(counter.folder.iterdir()) - {sealed}
    assert synced == {str(filling), str(counter.folder)}
    synced.clear()
    counter.work()
    assert synced == {str(filling)}  # what is sealed changes no more
    monkeypatch.setattr(inbox.Store, "put", put)
    counter.flush()
    counter.flush()
    assert counted() == (3, {"u_1", "u_2", "u_3"})
