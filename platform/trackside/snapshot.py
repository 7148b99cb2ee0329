"""What a process keeps on disk to go on without its servers: small files that are whole or not there.

A file is a header with the length and SHA-256 of what follows, then the content. It is written beside, flushed to the
disk and put in place at once, readable by its owner alone; the one before is kept, and read where the new one is cut
short or damaged.
"""

import os
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import structlog

from trackside.settings import Settings

log = structlog.get_logger(__name__)
FOLDER = "snapshots"
_MAGIC = b"trackside-snapshot 1"
_BEFORE = ".before"


class Snapshots:
    """The snapshots of one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.data / FOLDER

    def write(self, name: str, content: bytes) -> bool:
        """Keep `content` as `name`; return False, and say so in the log, where the disk does not take it."""
        path = self.folder / name
        whole = b"%s %s %d\n%s" % (_MAGIC, sha256(content).hexdigest().encode(), len(content), content)
        try:
            with suppress(FileNotFoundError):
                if path.read_bytes() == whole:
                    return True
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _put(path, whole)
        except OSError as error:
            log.warning("snapshot.not_written", name=name, reason=error.strerror)
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """Return what was kept as `name`, else what was kept before it; None where neither is whole."""
        for each in (name, name + _BEFORE):
            try:
                whole = (self.folder / each).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("snapshot.unreadable", name=each, reason=error.strerror)
                continue
            content = _checked(whole)
            if content is not None:
                return content
            log.warning("snapshot.damaged", name=each, effect="it is ignored")
        return None

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin with `prefix`, of snapshots that may or may not be whole."""
        found = {path.name.removesuffix(_BEFORE) for path in self.folder.glob(f"{prefix}*") if path.suffix != ".new"}
        return sorted(found)


def _put(path: Path, whole: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=path.name, suffix=".new", dir=path.parent)  # made with mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            path.replace(path.with_name(path.name + _BEFORE))
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


def _checked(whole: bytes) -> bytes | None:
    """Return the content, or None where it is not what its header says."""
    header, _, content = whole.partition(b"\n")
    expected = b"%s %s %d" % (_MAGIC, sha256(content).hexdigest().encode(), len(content))
    return content if header == expected else None
