"""The bytes of uploaded imports: below the data directory, a file for each, named by its import's number."""

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from trackside.errors import NotFound, Unavailable
from trackside.settings import Settings
from trackside_modules.support.attachments import abandoned

FOLDER = "imports"


def folder_of(settings: Settings) -> Path:
    """Return where the files are kept."""
    return settings.data.absolute() / FOLDER


def write(folder: Path, import_id: int, file: BinaryIO) -> None:
    """Write a file whole or not at all, readable by its owner alone; raises Unavailable where it cannot be kept."""
    partial: Path | None = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        partial = Path(name)
        file.seek(0)
        with os.fdopen(handle, "wb") as out:
            while piece := file.read(1 << 20):
                out.write(piece)
        partial.replace(folder / str(import_id))
    except BaseException as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            raise Unavailable(
                f"This file could not be kept ({why}): make room on the server, and try again."
            ) from error
        raise


@contextmanager
def opened(folder: Path, import_id: int) -> Iterator[BinaryIO]:
    """Open a file; raises NotFound where it was removed."""
    try:
        file = (folder / str(import_id)).open("rb")
    except FileNotFoundError:
        raise NotFound("The bytes of this file are gone: upload it again.") from None
    with file:
        yield file


def remove(folder: Path, import_id: int) -> None:
    """Remove a file, if it is there."""
    (folder / str(import_id)).unlink(missing_ok=True)


def sweep(folder: Path, kept: Collection[int], *, now: datetime) -> int:
    """Remove what a stopped upload left behind: all but the files `kept` and the very young; return how many."""
    names, count = {str(each) for each in kept}, 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names and path.is_file() and abandoned(path, now):
            path.unlink(missing_ok=True)
            count += 1
    return count
