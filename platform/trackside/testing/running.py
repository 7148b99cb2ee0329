"""A whole Trackside as people start it, `trackside up` in a process of its own, for browser and crash tests."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_READY = re.compile(r"^READY (http://\S+)$")
_LINK = re.compile(r"(http://\S+/link/\S+)")
START_SECONDS = 300
"""Minutes rather than seconds: what a start takes says nothing about whether it works."""


@dataclass
class Up:
    """A running `trackside up`: where it answers, where its data lies, and what it printed."""

    url: str
    data: Path
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def link(self, seconds: float = 60) -> str:
        """Return the one-time sign-in link it printed; raises RuntimeError where none comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.lines:
                if found := _LINK.search(line):
                    return found[1]
            if time.monotonic() > deadline:
                raise RuntimeError("`trackside up` printed no sign-in link:\n" + "\n".join(self.lines))
            time.sleep(0.05)

    def command(self, *arguments: str, check: bool = True) -> str:
        """Run `trackside ARGUMENTS` beside it and return what that printed."""
        done = subprocess.run(
            [_trackside(), *arguments], env=_environment(self.data), capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"trackside {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run `trackside ARGUMENTS --json` and return the object it printed."""
        return json.loads(self.command(*arguments, "--json"))


@contextmanager
def up(data: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Up]:
    """Start `trackside up ARGUMENTS` on a free port with its data in `data`, and stop it at the end.

    `environ` are settings to add; those of the calling process do not reach it.
    """
    command = [_trackside(), "up", "--port", str(free_port()), "--data", str(data), *arguments]
    process = subprocess.Popen(
        command,
        env={**_environment(data), **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Up("", data, process)
    try:
        _await(running)
        yield running
    finally:
        stop(process)


def free_port() -> int:
    """Return a port that is free on this machine, and the next one too: the stream's.

    It lies below those that systems give to connections, so that none takes it before the server does.
    """
    while True:
        port = random.randrange(10_000, 32_000, 2)  # noqa: S311 - by chance, so that tests in two processes differ
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def stop(process: "subprocess.Popen[str]", seconds: float = 60) -> None:
    """Stop it as Ctrl-C does; by force where that takes longer than `seconds`."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(running: Up) -> None:
    """Read what it prints until READY; go on reading in the background, so that it never waits for us."""
    assert running.process.stdout
    ready = threading.Event()

    def read(out: Any) -> None:
        for line in out:
            running.lines.append(line.rstrip("\n"))
            if found := _READY.match(running.lines[-1]):
                running.url = found[1]
                ready.set()
        ready.set()

    threading.Thread(target=read, args=(running.process.stdout,), name="up-output", daemon=True).start()
    if not ready.wait(START_SECONDS) or not running.url:
        raise RuntimeError("`trackside up` did not become ready:\n" + "\n".join(running.lines))


def _trackside() -> str:
    return str(Path(sys.executable).with_name("trackside"))


def _environment(data: Path) -> dict[str, str]:
    """Return our environment without settings of ours that would lead elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRACKSIDE_") and name not in {"DATABASE_URL", "REDIS_URL", "UP_STARTED_AT"}
    }
    return {**kept, "TRACKSIDE_DATA": str(data)}
