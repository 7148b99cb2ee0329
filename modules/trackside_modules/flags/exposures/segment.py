"""A file in which evaluations are counted in place: memory that outlives the process.

The file is mapped, so that counting is adding to a number in memory, and the operating system keeps it when the process
is killed. Its blocks are written before, since a full disk would end a process that touches what it cannot have. Who
writes holds a lock on it, which the system lifts when they die: a file that is not locked is whoever's finds it first.

    header   magic, name of 16 random bytes
    record   count, at (milliseconds since 1970), length: 8 bytes each; content; to the next multiple of 8
"""

import fcntl
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trackside_modules.flags.exposures.entries import Entry

SIZE = 256 * 1024
SUFFIX = ".spool"
_MAGIC = b"trackside-spool1"
_HEADER = len(_MAGIC) + 16
_RECORD = 24
Content = tuple[int, str | None, str | None, tuple[str, ...]]
"""Environment, user, account, and flags with their variants in turn."""
_DECODER = msgspec.msgpack.Decoder(Content)


class Segment:
    """One such file, being written by this process."""

    def __init__(self, folder: Path) -> None:
        """Make a file in `folder`; raises OSError where the disk does not take it."""
        name = secrets.token_bytes(16)
        self.path = folder / f"{name.hex()}{SUFFIX}"
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.write(self._file, (_MAGIC + name).ljust(SIZE, b"\0"))
            self._map = mmap.mmap(self._file, SIZE)
        except BaseException:
            os.close(self._file)
            self.path.unlink(missing_ok=True)
            raise
        self.numbers = memoryview(self._map).cast("Q")
        """The file as numbers of 8 bytes: `add` says which one counts."""
        self._end = _HEADER
        self._is_sealed = self._is_named = False
        self.is_dirty = True
        """Whether there may be more in it than the disk has."""

    def add(self, content: Content, at: int) -> int | None:
        """Make room for a count, and return its place in `numbers`; None where the file is full.

        Raises UnicodeEncodeError for texts that are none.
        """
        packed = msgspec.msgpack.encode(content)
        start, length = self._end, len(packed)
        end = start + _RECORD + (length + 7 & ~7)
        if end > SIZE:
            return None
        self._map[start + _RECORD : start + _RECORD + length] = packed
        place = start >> 3
        self.numbers[place + 1] = at
        # last: a record without a length is none
        self.numbers[place + 2] = length
        self._end = end
        return place

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever counted in it."""
        return self._end == _HEADER

    def seal(self) -> None:
        """Write no more; the lock stays until `drop`, or the end of the process."""
        self.numbers.release()
        self._map.close()
        self._is_sealed = True

    def secure(self) -> None:
        """Wait until the disk has what was counted so far, and the file's name: they outlive a power cut too.

        Counting goes on meanwhile; what it adds is there at the next time. Raises OSError where the disk fails.
        """
        self.is_dirty = not self._is_sealed
        os.fsync(self._file)  # of what was written through the mapping too
        if not self._is_named:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._is_named = True

    def drop(self) -> None:
        """Take the file off the disk: what was in it is committed."""
        self.path.unlink(missing_ok=True)
        os.close(self._file)

    def leave(self) -> None:
        """Leave the file on the disk for whoever comes next."""
        os.close(self._file)


def read(path: Path) -> tuple[bytes, dict[int, list[Entry]]] | None:
    """Return the name and the exposures of each environment in a file; None for one that is no such file.

    Raises OSError where the file cannot be read.
    """
    data = path.read_bytes()
    if len(data) != SIZE or not data.startswith(_MAGIC):
        return None
    found: dict[int, list[Entry]] = {}
    for content, at, count in _records(data):
        env_id, user, account, shown = content
        found.setdefault(env_id, []).append(Entry(user, account, shown, at, count))
    return data[len(_MAGIC) : _HEADER], found


def _records(data: bytes) -> Iterator[tuple[Content, int, int]]:
    numbers = memoryview(data).cast("Q")
    at = _HEADER
    while at + _RECORD <= SIZE:
        count, first, length = numbers[at >> 3 : (at + _RECORD) >> 3]
        start = at + _RECORD
        if not length or start + length > SIZE:
            return
        if count:
            yield _DECODER.decode(data[start : start + length]), first, count
        at = start + (length + 7 & ~7)


def orphans(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files that nobody writes any more, each locked for us with its descriptor; close it after."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            continue
        yield path, file
