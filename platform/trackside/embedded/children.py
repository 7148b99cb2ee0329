"""Trackside's own processes under `trackside up`: each is one `trackside` command.

On Linux a child is forked from the supervisor, which has everything loaded: seven processes that each import the whole
stack keep two cores busy for eight seconds. Elsewhere (macOS aborts programs that go on after a fork) it is started
afresh. Either way it dies with the supervisor, also when that is killed.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from setproctitle import setproctitle

from trackside.embedded.process import wait_until
from trackside.process import die_with

FIRST_DELAY, LONGEST_DELAY = 0.25, 15.0
"""Seconds before a child that ended is started again."""
STEADY = 20.0
"""Seconds a child must live for its next delay to be the first again."""


@dataclass
class Child:
    """One command, kept running."""

    name: str
    arguments: Sequence[str]
    log: Path
    grace: float
    """Seconds between the polite signal and SIGKILL."""
    before_exec: Callable[[], None]
    """Called in a forked child first: gives back what only the supervisor may hold."""
    pid: int = 0
    started: float = 0.0
    due: float = 0.0
    delay: float = FIRST_DELAY

    def start(self) -> None:
        """Start it."""
        self.started = time.monotonic()
        if sys.platform == "linux":
            self.pid = os.fork()
            if self.pid == 0:
                self._become(os.getppid())
            return
        program = f"from trackside.embedded.children import run; run({os.getpid()}, {list(self.arguments)!r})"
        with self.log.open("ab") as out:
            self.pid = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            ).pid

    def poll(self) -> int | None:
        """Return its exit code (negative: the signal that ended it) when it has just ended, else None."""
        if not self.pid:
            return None
        with suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            self.pid = 0
            return os.waitstatus_to_exitcode(status)
        self.pid = 0
        return 0

    def plan_restart(self, code: int) -> float:
        """Set when it is due again and return the seconds until then; one that ended well comes back at once."""
        now = time.monotonic()
        if code == 0 or now - self.started > STEADY:
            self.delay = FIRST_DELAY
        wait = 0.0 if code == 0 and now - self.started > 1 else self.delay
        self.delay = min(self.delay * 2, LONGEST_DELAY)
        self.due = now + wait
        return wait

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _become(self, parent: int) -> None:
        """Turn the fork into the command; never returns."""
        code = 70
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            self.before_exec()
            _redirect(self.log)
            setproctitle(f"trackside {' '.join(self.arguments)}")
            code = run(parent, self.arguments)
        except BaseException:  # a fork that went on would be a second supervisor
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def run(parent: int, arguments: Sequence[str]) -> int:
    """Run the command with `arguments` in this process, which dies with `parent`; return its exit code."""
    from trackside.cli import trackside

    die_with(parent)
    try:
        trackside.main(args=list(arguments), prog_name="trackside", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def stop_all(children: Sequence[Child], deadline: float) -> None:
    """End all of `children` at once: politely for their grace, by force then, or at `deadline` (monotonic seconds)."""
    for child in children:
        child.signal(signal.SIGTERM)
    ends = {id(child): min(time.monotonic() + child.grace, deadline) for child in children}

    def all_gone() -> bool:
        for child in children:
            child.poll()
            if child.pid and time.monotonic() > ends[id(child)]:
                child.signal(signal.SIGKILL)
        return not any(child.pid for child in children)

    wait_until(all_gone, max(ends.values(), default=0) - time.monotonic() + 2, step=0.02)


def _redirect(log: Path) -> None:
    """Send what is printed to `log`, and read nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(out)
