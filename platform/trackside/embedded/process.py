"""What the two embedded servers share: starting a child that cannot outlive us, waiting for it, stopping it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import TypeVar

from trackside.errors import StartError

T = TypeVar("T")
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_NOBODY = 65534
# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing NUL; PostgreSQL appends "/.s.PGSQL.5432".
_LONGEST_SOCKET_FOLDER = 85
_LARGEST_LOG = 5_000_000


class EmbeddedError(StartError):
    """An embedded server could not do its work; the message says why and what to do."""


class Identity(Enum):
    """Who a child runs as."""

    SELF = "self"
    NAMESPACE = "namespace"  # root outside, an ordinary user to itself: what PostgreSQL asks for, without an account
    NOBODY = "nobody"

    @property
    def uid(self) -> int:
        """Owner of the child's files, as this process sees it."""
        return _NOBODY if self is Identity.NOBODY else os.geteuid()


def child_setup(identity: Identity, death_signal: signal.Signals) -> Callable[[], None]:
    """Return what a forked child does before exec: take its identity, and ask for `death_signal` when we die.

    Linux ties the request to the thread that forked, so children are started from the main thread.
    """
    parent, uid, gid = os.getpid(), os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def setup() -> None:
        if identity is Identity.NAMESPACE and libc:
            if libc.unshare(_CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/gid_map").write_text(f"{_NOBODY} {gid} 1")
            Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1")
        elif identity is Identity.NOBODY:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        if libc:  # after the change of identity, which clears it
            libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return setup


def persistently(start: Callable[[], T], pauses: Sequence[float] = (0.1, 0.3, 0.6, 1, 2, 4, 8)) -> T:
    """Return what `start` does, asking again where the kernel refuses the child its namespace.

    A busy machine refuses one now and then that it allows a moment later. Raises the last refusal; `pauses` in seconds.
    """
    for pause in pauses:
        try:
            return start()
        except subprocess.SubprocessError:
            time.sleep(pause)
    return start()


@dataclass(frozen=True)
class Command:
    """A server's command line, its log file, and how its child is prepared."""

    argv: Sequence[str]
    log: Path
    setup: Callable[[], None]
    env: Mapping[str, str] | None = None

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Start it in a session of its own, so that Ctrl-C in a terminal reaches only us."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".old.log"))
        with self.log.open("ab") as log:
            return persistently(
                lambda: subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.env,
                    preexec_fn=self.setup,  # noqa: PLW1509 - from the main thread; nothing else can ask for a death signal
                    start_new_session=True,
                )
            )


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.01) -> bool:
    """Return whether `condition` became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def wait_ready(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path, seconds: float = 180) -> None:
    """Wait for `ready`; raise EmbeddedError with the log's last lines when the process ends or takes too long."""
    wait_until(lambda: process.poll() is not None or ready(), seconds)
    if process.poll() is None and ready():
        return
    if process.poll() is None:
        process.kill()
        process.wait()
    name = Path(str(process.args[0] if isinstance(process.args, (list, tuple)) else process.args)).name
    raise EmbeddedError(f"{name} did not start (exit code {process.returncode}). The end of {log}:\n{tail(log)}")


def tail(log: Path, lines: int = 8) -> str:
    """Return the last `lines` of a log, or nothing where there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def stop(process: "subprocess.Popen[bytes]", signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal and wait its seconds, until the process has ended; SIGKILL is the last word."""
    for number, seconds in (*signals, (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def stop_leftover(pid: int, marks: Sequence[str], number: signal.Signals, seconds: float) -> None:
    """End process `pid` of an earlier run, if its command line still holds all `marks` (ids are used again)."""
    if not _is_ours(pid, marks):
        return
    for each in (number, signal.SIGKILL):
        try:
            os.kill(pid, each)
        except ProcessLookupError:
            return
        if wait_until(lambda: not _is_ours(pid, marks), seconds):
            return
    raise EmbeddedError(f"Process {pid} of an earlier run ({marks[0]}) does not end. Stop it by hand, then try again.")


def _is_ours(pid: int, marks: Sequence[str]) -> bool:
    line = command_line(pid)
    return all(mark in line for mark in marks)


def command_line(pid: int) -> str:
    """Return the command line of a living process, or "" where it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    done = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def socket_folder(data: Path) -> Path:
    """Return a private folder for sockets: `run` in `data`, or one in the temporary folder where that path is too long.

    Both are the same on every start, so that a leftover server is found again.
    """
    folder = data / "run"
    if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
        digest = sha256(os.fsencode(data)).hexdigest()[:12]
        folder = Path(gettempdir()) / f"trackside-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in {os.geteuid(), _NOBODY}:
        raise EmbeddedError(f"{folder} belongs to someone else. Remove it, or choose another folder with --data.")
    folder.chmod(0o700)
    return folder
