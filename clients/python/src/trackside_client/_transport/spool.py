"""What waits while the server is away: one file a batch, in a private folder that several processes may share.

A batch is sent as the same bytes each time, and the server knows it by them, so a file that two processes send, or that
one sent and died before removing, counts once. What is older than 59 minutes or over 50 MB goes, the oldest first.
"""

import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

try:
    import fcntl
except ImportError:  # not on Windows: there two processes may send the same file, which counts once
    fcntl = None  # type: ignore[assignment]

MOST_SECONDS = 59 * 60
MOST_BYTES = 50_000_000
_MOST_IN_MEMORY = 8_000_000
_SUFFIX = ".json.gz"


class Batch(NamedTuple):
    """A request to be sent: its kind (`metrics` or `traces`), how many calls it counts, and its gzipped body."""

    kind: str
    calls: int
    body: bytes
    name: str = ""


class Spool(Protocol):
    """Where batches wait."""

    def put(self, batch: Batch) -> int:
        """Keep a batch; return how many calls had to be given up to make room for it."""
        ...

    def oldest(self) -> Batch | None:
        """Return the batch that waits longest."""

    def remove(self, batch: Batch) -> None:
        """Forget a batch: it was delivered, or refused for good."""

    def turn(self) -> AbstractContextManager[bool]:
        """Take the turn to send what waits; the context is False where another process has it."""
        ...

    def expire(self) -> int:
        """Give up what waits too long; return how many calls that were."""
        ...


class Memory:
    """Keeps batches in the process, where there is no folder; they end with it."""

    def __init__(self, most_bytes: int = _MOST_IN_MEMORY, most_seconds: float = MOST_SECONDS) -> None:
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._waiting: deque[tuple[float, Batch]] = deque()

    def put(self, batch: Batch) -> int:
        """Keep a batch; return how many calls had to be given up to make room for it."""
        self._waiting.append((time.monotonic(), batch))
        return self.expire()

    def oldest(self) -> Batch | None:
        """Return the batch that waits longest."""
        return self._waiting[0][1] if self._waiting else None

    def remove(self, batch: Batch) -> None:
        """Forget a batch."""
        if self._waiting and self._waiting[0][1] is batch:
            self._waiting.popleft()

    def turn(self) -> AbstractContextManager[bool]:
        """Nobody else has a share in it."""
        return nullcontext(True)

    def expire(self) -> int:
        """Give up what is too old or too much."""
        lost, size = 0, sum(len(batch.body) for _, batch in self._waiting)
        while self._waiting and (
            size > self._most_bytes or self._waiting[0][0] < time.monotonic() - self._most_seconds
        ):
            given_up = self._waiting.popleft()[1]
            size -= len(given_up.body)
            lost += given_up.calls
        return lost


class Folder:
    """Keeps batches as files named `<nanoseconds>-<process>-<number>-<calls>.<kind>.json.gz`.

    Raises:
        OSError: The folder cannot be made, is not a folder, or belongs to somebody else.

    """

    def __init__(
        self, root: Path, owner: str, most_bytes: int = MOST_BYTES, most_seconds: float = MOST_SECONDS
    ) -> None:
        """Open the folder of `owner`, the address and key that batches are meant for, below `root`."""
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        _make(root)
        self._folder = root / hashlib.sha256(owner.encode()).hexdigest()[:16]
        _make(self._folder)
        self._folder.chmod(0o700)
        self._number = 0

    def put(self, batch: Batch) -> int:
        """Keep a batch; return how many calls had to be given up to make room for it."""
        self._number += 1
        name = f"{time.time_ns():020}-{os.getpid()}-{self._number}-{batch.calls}.{batch.kind}{_SUFFIX}"
        part = self._folder / f"{name}.part"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(batch.body)
        part.rename(self._folder / name)
        return self.expire()

    def oldest(self) -> Batch | None:
        """Return the batch that waits longest."""
        for name in self._names():
            calls, kind = _told(name)
            with suppress(FileNotFoundError):  # another process was faster
                return Batch(kind, calls, (self._folder / name).read_bytes(), name)
        return None

    def remove(self, batch: Batch) -> None:
        """Forget a batch."""
        (self._folder / batch.name).unlink(missing_ok=True)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Take the turn to send; False where another process has it. The kernel ends it with the process."""
        if fcntl is None:
            yield True
            return
        handle = os.open(self._folder / ".turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: a forked child would share it
            except OSError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def expire(self) -> int:
        """Give up what is too old or too much, also what others have put there."""
        files = []
        for name in self._names(parts=True):
            with suppress(FileNotFoundError):
                files.append((name, (self._folder / name).stat().st_size))
        size, lost = sum(each for _, each in files), 0
        earliest = time.time_ns() - int(self._most_seconds * 1e9)
        for name, each in files:
            if size <= self._most_bytes and int(name[:20]) >= earliest:
                break
            size -= each
            with suppress(FileNotFoundError):
                (self._folder / name).unlink()
                lost += 0 if name.endswith(".part") else _told(name)[0]
        return lost

    def _names(self, parts: bool = False) -> list[str]:
        ends = (_SUFFIX, f"{_SUFFIX}.part") if parts else (_SUFFIX,)
        names = os.listdir(self._folder)  # noqa: PTH208 - names are all that is wanted
        return sorted(name for name in names if name.endswith(ends) and name[:20].isdecimal())


def _told(name: str) -> tuple[int, str]:
    """Return the calls and the kind that a file's name tells."""
    stem, kind, *_ = name.split(".")
    calls = stem.rpartition("-")[2]
    return int(calls) if calls.isdecimal() else 0, kind


def _make(folder: Path) -> None:
    """Make a folder that only this user can look into; refuse one that another user has prepared."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if hasattr(os, "geteuid") and found.st_uid not in {os.geteuid(), 0}:
        raise PermissionError(f"{folder} belongs to another user")
