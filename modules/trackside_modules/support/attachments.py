"""The bytes of attachments: below the data directory, named by what they are, never by what they are called.

Nothing of it is served by a path: a download looks the row up, and sends the bytes as a file to keep, not to open. The
type is read from the bytes; what a sender says of it counts for nothing.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import puremagic
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.errors import InputError, NotFound, TooLarge, Unavailable
from trackside.settings import Settings
from trackside.text import is_hidden
from trackside_modules.support.models.files import FOLDER, File

MOST_BYTES = 16 << 20
"""Of all files of one message together."""
MOST_FILES = 10
LONGEST_NAME = 120
UNKNOWN = "application/octet-stream"
BEING_WRITTEN = timedelta(hours=1)
"""How long bytes may lie there that no row names: who writes them commits later."""


def folder_of(settings: Settings) -> Path:
    """Return where attachments are kept."""
    return settings.data.absolute() / FOLDER


def keep(
    session: Session,
    folder: Path,
    given: Sequence[tuple[str, bytes]],
    *,
    now: datetime,
    member_id: int | None = None,
) -> list[int]:
    """Keep files, pairs of name and bytes, below `folder`; return the ids that a message names them by.

    Raises InputError for too many or empty ones, TooLarge where they are too large together, Unavailable where they
    cannot be kept (a full disk).
    """
    if len(given) > MOST_FILES:
        raise InputError(f"Attach {MOST_FILES} files or fewer at a time.", {"files": "are too many"})
    if sum(len(content) for _, content in given) > MOST_BYTES:
        raise TooLarge(f"Attach {MOST_BYTES >> 20} MB or less at a time: put larger files where a link leads to them.")
    rows = [_kept(folder, name, content, now, member_id) for name, content in given]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def path_of(folder: Path, sha256: str) -> Path:
    """Return where the bytes with a digest are."""
    return folder / sha256[:2] / sha256


def remove(folder: Path, digests: Iterable[str]) -> None:
    """Remove the bytes with these digests, which no row names any more."""
    for sha256 in digests:
        path_of(folder, sha256).unlink(missing_ok=True)


def sweep(session: Session, folder: Path, *, now: datetime) -> int:
    """Remove bytes that no row names, but for the very young; return how many."""
    count = 0
    for shelf in folder.iterdir() if folder.is_dir() else ():
        old = [each for each in shelf.iterdir() if abandoned(each, now)] if shelf.is_dir() else []
        named = set(session.scalars(select(File.sha256).where(File.sha256.in_([each.name for each in old]))))
        for path in old:
            # asked again: the same bytes may just have come in once more
            if path.name not in named and abandoned(path, now):
                path.unlink(missing_ok=True)
                count += 1
    return count


def abandoned(path: Path, now: datetime) -> bool:
    """Tell whether nobody can still be writing a file; one that is gone needs no sweeping."""
    try:
        return path.stat().st_mtime < (now - BEING_WRITTEN).timestamp()
    except FileNotFoundError:
        return False


def open_kept(folder: Path, row: File) -> Path:
    """Return the path of a file's bytes; raises NotFound where they are gone."""
    found = path_of(folder, row.sha256)
    if not found.is_file():
        raise NotFound("The bytes of this file are gone: they were removed from the data directory.")
    return found


def type_of(content: bytes) -> str:
    """Return the media type that the first bytes tell; text is told from what is no text."""
    try:
        found = puremagic.from_string(content[:8192], mime=True)
    except (puremagic.PureError, ValueError):
        found = ""
    if found:
        return str(found)
    try:
        content.decode()
    except UnicodeDecodeError:
        return UNKNOWN
    return UNKNOWN if b"\0" in content else "text/plain"


def _kept(folder: Path, name: str, content: bytes, now: datetime, member_id: int | None) -> File:
    if not content:
        raise InputError(f"{_name(name)} is empty.", {"files": "are empty"})
    digest = hashlib.sha256(content).hexdigest()
    try:
        _write(path_of(folder, digest), content)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise Unavailable(
            f"{_name(name)} could not be kept ({why}): make room on the server, or send without it."
        ) from error
    return File(
        sha256=digest, name=_name(name), type=type_of(content), bytes=len(content), member_id=member_id, created_at=now
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone; the same bytes are kept once."""
    try:
        # young again: `sweep` leaves it for this message
        os.utime(path)
    except FileNotFoundError:
        pass
    else:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _name(name: str) -> str:
    """Return a name that can do no harm: its last part, without what cannot be seen."""
    bare = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(each for each in bare if not is_hidden(each)).strip(". ")
    stem, dot, end = clean.rpartition(".")
    if len(clean) > LONGEST_NAME:
        clean = f"{stem[: LONGEST_NAME - 12]}{dot}{end[:11]}" if dot else clean[:LONGEST_NAME]
    return clean or "file"
