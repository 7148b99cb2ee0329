"""What the crash test does to a running `trackside up`: SIGKILL to one of its processes, or FLUSHALL, at random."""

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import redis

SHORTEST, LONGEST = 0.5, 3.2
"""Seconds between two crashes."""


@dataclass(frozen=True, slots=True)
class Process:
    """A line of `ps`."""

    pid: int
    parent: int
    line: str


@dataclass
class Crasher:
    """Crashes parts of the `trackside up` with process id `supervisor` and its data in `data`."""

    supervisor: int
    data: Path
    redis_url: str
    luck: Random
    done: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Kinds whose process was not there at that moment: killed before, and not yet up again."""

    def run(self, stopping: threading.Event, limit: int | None = None) -> None:
        """Crash something every few seconds until `stopping`, or until `limit` crashes are done."""
        kinds: dict[str, Callable[[], bool]] = {
            "web": lambda: self._kill_one(*self._named(" web")),
            "fold": lambda: self._kill_one(*self._named(" worker fold")),
            "rollups": lambda: self._kill_one(*self._named(" worker rollups")),
            "postmaster": lambda: self._kill_one(*self._pid_of("pg/postmaster.pid")),
            "backend": lambda: self._kill_one(*self._backends()),
            "valkey": lambda: self._kill_one(*self._pid_of("valkey/valkey.pid")),
            "flushall": self._flush,
        }
        while not stopping.wait(self.luck.uniform(SHORTEST, LONGEST)):
            kind = self.luck.choice(list(kinds))
            (self.done if kinds[kind]() else self.missed)[kind] += 1
            if limit is not None and self.done.total() >= limit:
                return

    def _kill_one(self, *pids: int) -> bool:
        if not pids:
            return False
        try:
            os.kill(self.luck.choice(sorted(pids)), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _named(self, words: str) -> Iterator[int]:
        return (each.pid for each in self._family() if words in each.line)

    def _pid_of(self, file: str) -> Iterator[int]:
        """Yield the process that the file names, where it is one of the supervisor's own."""
        try:
            pid = int((self.data / file).read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        if any(each.pid == pid for each in self._family()):
            yield pid

    def _backends(self) -> Iterator[int]:
        return (each.pid for each in self._family() if each.line.startswith("postgres: trackside"))

    def _flush(self) -> bool:
        try:
            with redis.Redis.from_url(self.redis_url, socket_timeout=2) as client:
                return bool(client.flushall())
        except redis.RedisError:
            return False

    def _family(self) -> list[Process]:
        """Return all the supervisor's children, and theirs."""
        listed = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        every = [_parse(line) for line in listed.stdout.splitlines()]
        family: list[Process] = []
        parents = {self.supervisor}
        while found := [each for each in every if each.parent in parents]:
            family += found
            parents = {each.pid for each in found}
        return family


def _parse(line: str) -> Process:
    pid, parent, *rest = line.split(None, 2)
    return Process(int(pid), int(parent), rest[0] if rest else "")
