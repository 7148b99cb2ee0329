"""Exposures of a web process that is killed at any moment: none of those answered is lost, none counts twice."""

import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from trackside.embedded.process import wait_until
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.testing.running import free_port
from trackside_modules.flags.exposures import segment
from trackside_modules.flags.exposures.counter import Counter, Shown

ONE = "/ofrep/v1/evaluate/flags/checkout"
KILLS = 3


class Caller(threading.Thread):
    """Asks for a flag all the time, each time as another user, and notes who was answered."""

    def __init__(self, port: int, key: str, name: str) -> None:
        super().__init__(daemon=True)
        self._port, self._key, self._name = port, key, name
        self.asked = 0
        self.answered: set[str] = set()
        self.over = False

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.over:
            user = f"{self._name}-{self.asked}"
            self.asked += 1
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("POST", ONE, f'{{"context":{{"targetingKey":"{user}"}}}}', {"X-API-Key": self._key})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.answered.add(user)
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.02)


def _start(settings: Settings, port: int, log: Path) -> "subprocess.Popen[bytes]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRACKSIDE_")}
    given = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TRACKSIDE_SECRET_KEY": settings.secret_key,
        "TRACKSIDE_DATA": str(settings.data),
    }
    command = (sys.executable, "-m", "trackside", "web", "--port", str(port))
    with log.open("ab") as out:
        return subprocess.Popen(command, env=clean | given, stdout=out, stderr=out)


def test_no_answered_exposure_is_lost_and_none_counts_twice(
    runtime: Runtime, settings: Settings, flag: Any, change: Any, api_key: Any, counted: Any, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    luck, port, log = random.Random(seed), free_port(), tmp_path / "web.log"
    print(f"seed {seed}")
    flag("checkout")
    change("checkout", {"enabled": True})
    callers = [Caller(port, str(api_key("server")), f"c{number}") for number in range(2)]

    def answers() -> int:
        return sum(len(each.answered) for each in callers)

    process = _start(settings, port, log)
    for each in callers:
        each.start()
    try:
        for _ in range(KILLS):
            before = sum(len(each.answered) for each in callers)
            more = luck.randint(20, 400)
            assert wait_until(lambda b=before, m=more: sum(len(c.answered) for c in callers) > b + m, 180), (
                log.read_text()
            )
            (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[:1]
            os.kill(int(worker), signal.SIGKILL)
            process.kill()
            process.wait()
            process = _start(settings, port, log)
        enough = answers() + 50
        assert wait_until(lambda: answers() > enough, 180), log.read_text()
        for each in callers:
            each.over = True
        for each in callers:
            each.join(60)
        # what was left by the killed ones too: the new process takes it up at its start
        assert wait_until(lambda: not list((settings.data / "spool" / "exposures").iterdir()), 180), log.read_text()
    finally:
        process.kill()
        process.wait()
    answered = set().union(*(each.answered for each in callers))
    total, users = counted()
    assert answered - users == set(), f"lost, seed {seed}"
    assert total == len(users), f"counted twice, seed {seed}"
    assert total <= sum(each.asked for each in callers)


def test_a_file_that_was_committed_but_not_taken_away_counts_once(
    runtime: Runtime, flag: Any, counted: Any, settings: Settings
) -> None:
    flag("checkout")
    counter = Counter(runtime)
    for user in ("u_1", "u_1", "u_2"):
        counter.count(Shown(1, "checkout", "on", user, None))
    (path,) = counter.folder.iterdir()
    shutil.copy(path, path.with_suffix(".kept"))
    counter.flush()
    assert list(counter.folder.glob("*.spool")) == []
    path.with_suffix(".kept").rename(path)
    assert counted() == (3, {"u_1", "u_2"})
    again = Counter(runtime)
    again.flush()
    assert list(counter.folder.iterdir()) == []
    assert counted() == (3, {"u_1", "u_2"})


def test_a_file_in_use_is_nobody_elses(runtime: Runtime, flag: Any, counted: Any) -> None:
    flag("checkout")
    first, other = Counter(runtime), Counter(runtime)
    first.count(Shown(1, "checkout", "on", "u_1", None))
    other.flush()
    assert counted()[0] == 0
    first.flush()
    assert counted()[0] == 1


def test_what_was_counted_waits_for_the_database(
    runtime: Runtime, flag: Any, counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag("checkout")
    counter = Counter(runtime)
    monkeypatch.setattr(counter._store, "_url", "postgresql://nobody@127.0.0.1:1/x")
    for number in range(5000):
        counter.count(Shown(1, "checkout", "on", f"u_{number}", None))
        if number % 1000 == 0:
            counter.work()
    assert len(list(counter.folder.iterdir())) > 1
    monkeypatch.undo()
    counter.work()
    assert list(counter.folder.iterdir()) == []
    total, users = counted()
    assert (total, len(users)) == (5000, 5000)


def test_threads_lose_no_count(runtime: Runtime, flag: Any, counted: Any) -> None:
    flag("checkout")
    counter, over = Counter(runtime), threading.Event()

    def count(name: str) -> None:
        for number in range(4000):
            counter.count(Shown(1, "checkout", "on", f"{name}-{number % 7}", None))
        over.set()

    threads = [threading.Thread(target=count, args=(name,)) for name in "abcd"]
    for each in threads:
        each.start()
    while not over.is_set():
        counter.flush()
    for each in threads:
        each.join()
    counter.flush()
    assert counted()[0] == 16_000


def test_a_cut_file_tells_what_was_whole(runtime: Runtime, tmp_path: Path) -> None:
    made = segment.Segment(tmp_path)
    places = [made.add((1, f"u_{number}", None, ("checkout", "on")), 1000 + number) for number in range(3)]
    for place in places[:2]:
        assert place is not None
        made.numbers[place] += 2
    made.seal()
    found = segment.read(made.path)
    assert found is not None
    assert [(it.user, it.count) for it in found[1][1]] == [("u_0", 2), ("u_1", 2)]
    made.path.write_bytes(made.path.read_bytes()[:-1])
    assert segment.read(made.path) is None
    made.drop()
