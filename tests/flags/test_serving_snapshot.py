"""Flags without servers: what is kept on disk, what is said of it, and what is not taken for whole."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from werkzeug.test import Client, TestResponse

from trackside.embedded.process import wait_until
from trackside.runtime import Runtime, build_runtime
from trackside.serve import build
from trackside.settings import Settings
from trackside.snapshot import Snapshots
from trackside.testing.running import free_port
from trackside_modules.flags.serving import memory as memories

ONE = "/ofrep/v1/evaluate/flags/checkout"
AWAY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


@pytest.fixture
def kept(runtime: Runtime, flag: Any, change: Any, api_key: Any) -> str:
    """Make a flag, let web load it once, and return a server key."""
    flag("checkout")
    change("checkout", {"enabled": True})
    key = str(api_key("server"))
    web = Client(build(runtime))
    assert web.post(ONE, data="{}", headers={"X-API-Key": key}).json["value"] is True  # type: ignore[index]
    return key


@pytest.fixture
def elsewhere(settings: Settings, runtime: Runtime) -> Iterator[Callable[[], Runtime]]:
    """Build a runtime on the same data folder whose servers are away."""
    made: list[Runtime] = []

    def build_one() -> Runtime:
        away = replace(
            settings, database_url=AWAY, redis_url="redis://127.0.0.1:1", redis_pubsub_url="redis://127.0.0.1:1"
        )
        made.append(build_runtime(away, runtime.registry, runtime.clock))
        return made[-1]

    yield build_one
    for each in made:
        each.close()


def test_flags_answer_after_a_restart_without_servers_and_say_so(kept: str, elsewhere: Any) -> None:
    web = Client(build(elsewhere()))
    answer = web.post(ONE, data='{"context":{"targetingKey":"u"}}', headers={"X-API-Key": kept})
    assert answer.json["value"] is True  # type: ignore[index]
    assert answer.json["metadata"] == {"stale": True}  # type: ignore[index]
    assert answer.headers["X-Trackside-Stale"] == "true"
    every = web.post("/ofrep/v1/evaluate/flags", data="{}", headers={"X-API-Key": kept})
    assert every.json["metadata"]["stale"] is True  # type: ignore[index]
    ready = web.get("/readyz")
    assert ready.status_code == 503
    assert ready.json["parts"]["flags"] == "stale"  # type: ignore[index]
    assert ready.json["parts"]["database"] == "missing"  # type: ignore[index]
    alone = web.get("/readyz/flags")
    assert (alone.status_code, alone.json) == (200, {"ready": True, "parts": {"flags": "stale"}})
    assert web.get("/readyz/database").status_code == 404


def test_a_key_that_nobody_knows_is_told_to_come_again(kept: str, elsewhere: Any) -> None:
    from trackside.auth.keyform import new_key

    web = Client(build(elsewhere()))
    stranger = new_key("production", "server").text
    assert web.post(ONE, data="{}", headers={"X-API-Key": stranger}).status_code == 503


def test_flags_go_on_when_the_database_goes(
    kept: str, runtime: Runtime, lane: Client, databases: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer() -> TestResponse:
        return lane.post(ONE, data="{}", headers={"X-API-Key": kept})

    assert "X-Trackside-Stale" not in answer().headers
    databases.drop(make_url(settings.database_url).database)
    memory = memories.shared(runtime)
    memory.look()
    assert answer().json["value"] is True  # type: ignore[index]
    monkeypatch.setattr(memories, "STALE", -1.0)
    memory.mark()
    assert answer().json["metadata"] == {"stale": True}  # type: ignore[index]


def test_etags_survive_a_restart(kept: str, runtime: Runtime, elsewhere: Any) -> None:
    first = Client(build(runtime)).get("/v1/flags/ruleset", headers={"X-API-Key": kept})
    known = {"X-API-Key": kept, "If-None-Match": first.headers["ETag"]}
    assert Client(build(elsewhere())).get("/v1/flags/ruleset", headers=known).status_code == 304


def test_snapshots_are_for_their_owner_alone(kept: str, settings: Settings) -> None:
    folder = settings.data / "snapshots"
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert {"keys", "flags-1"} <= {each.name for each in files}
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    assert kept not in "".join(each.read_text() for each in files)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "garbage"])
def test_a_damaged_snapshot_is_ignored_and_the_one_before_is_read(settings: Settings, damage: str) -> None:
    snapshots = Snapshots(settings)
    snapshots.write("flags-1", b"the first")
    snapshots.write("flags-1", b"the second")
    assert snapshots.read("flags-1") == b"the second"
    path = settings.data / "snapshots" / "flags-1"
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:-3], "flipped": whole[:-1] + b"X", "empty": b"", "garbage": os.urandom(200)}[damage]
    )
    assert snapshots.read("flags-1") == b"the first"
    path.with_name("flags-1.before").unlink()
    assert snapshots.read("flags-1") is None


def test_without_a_whole_snapshot_nothing_is_answered(kept: str, settings: Settings, elsewhere: Any) -> None:
    for path in (settings.data / "snapshots").glob("flags-*"):
        path.write_bytes(path.read_bytes()[:-10])
    assert not memories.stands_alone(settings)
    web = Client(build(elsewhere()))
    answer = web.post(ONE, data="{}", headers={"X-API-Key": kept})
    assert (answer.status_code, answer.json["errorCode"]) == (503, "GENERAL")  # type: ignore[index]
    assert answer.headers["Retry-After"] == "1"


def test_a_change_is_seen_at_once_in_its_process_and_soon_in_others(
    kept: str, runtime: Runtime, settings: Settings, change: Any
) -> None:
    other = build_runtime(settings, runtime.registry, runtime.clock)
    here, there = Client(build(runtime)), Client(build(other))

    def value(web: Client) -> Any:
        return web.post(ONE, data="{}", headers={"X-API-Key": kept}).json["value"]  # type: ignore[index]

    assert value(there) is True
    change("checkout", {"enabled": False})
    assert value(here) is False
    assert wait_until(lambda: value(there) is False, 5, 0.02)
    other.close()


def _web(settings: Settings, port: int, log: Path, **more: str) -> "subprocess.Popen[bytes]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRACKSIDE_")}
    given = {"TRACKSIDE_SECRET_KEY": settings.secret_key, "TRACKSIDE_DATA": str(settings.data), **more}
    command = (sys.executable, "-m", "trackside", "web", "--port", str(port))
    with log.open("wb") as out:
        return subprocess.Popen(command, env=clean | given, stdout=out, stderr=out)


def test_web_starts_with_both_servers_away_where_a_snapshot_is_there(
    kept: str, settings: Settings, tmp_path: Path
) -> None:
    import http.client

    def ask(method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(method, path, body, {"X-API-Key": kept})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    port, log = free_port(), tmp_path / "web.log"
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1"}
    process = _web(settings, port, log, **away)
    try:
        assert wait_until(lambda: process.poll() is not None or ask("GET", "/healthz")[0] == 200, 180), log.read_text()
        status, body = ask("POST", ONE, "{}")
        assert (status, json.loads(body)["value"]) == (200, True), log.read_text()
        assert "web.degraded" in log.read_text()
        status, body = ask("GET", "/readyz")
        assert (status, json.loads(body)["parts"]["flags"]) == (503, "stale")
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        for path in (settings.data / "snapshots").glob("flags-*"):
            path.unlink()
        process = _web(settings, free_port(), log, **away)
        assert process.wait(20) == 1
        assert "there is no snapshot to serve flags from" in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_slow_database_makes_flags_stale_and_a_quick_one_fresh_again(
    kept: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memories.shared(runtime)
    with memory._refreshing:  # or its own thread hears from the database meanwhile
        monkeypatch.setattr(memories, "STALE", -1.0)
        memory.mark()
        assert memory.state == "stale"
        monkeypatch.setattr(memories, "STALE", 60.0)
        memory.mark()
        assert memory.state == "ok"
