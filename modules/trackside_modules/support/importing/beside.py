"""Files of messages that were downloaded beside an export, found by their number and name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackside.errors import InputError
from trackside_modules.support.importing.records import Downloaded

_LONGEST = 200
"""Bytes of a name: systems take 255."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A folder of downloaded files, each at `NUMBER/NAME`, `NUMBER-NAME`, `NUMBER_NAME`, `NUMBER` or `NAME`."""

    folder: Path
    most_files: int
    """Of one message."""
    most_bytes: int
    """Of all files of one message together."""

    def of(self, attachments: Sequence[Mapping[str, Any]]) -> dict[int, Downloaded]:
        """Return those of a message's files that are here and within the limits, by their places.

        Raises InputError where it cannot be told, as in a folder that may not be read.
        """
        found: dict[int, Downloaded] = {}
        left = self.most_bytes
        for place, told in enumerate(attachments):
            try:
                path = next(self._paths(told), None)
                size = path.stat().st_size if path else 0
            except OSError as error:
                which = str(told.get("file_name") or told.get("id"))
                raise InputError(f"the attachment {which!r} could not be read ({error.strerror})") from error
            if path and 0 < size <= left and len(found) < self.most_files:
                left -= size
                found[place] = Downloaded(str(told.get("file_name") or path.name), path)
        return found

    def _paths(self, told: Mapping[str, Any]) -> Iterator[Path]:
        """Yield where a file is; by its name alone only where it is as long as told: many are called `image.png`."""
        number, name, size = told.get("id"), str(told.get("file_name") or ""), told.get("size")
        if name in {".", ".."} or set(name) & set("/\\\0") or len(name.encode(errors="replace")) > _LONGEST:
            name = ""
        places = [name] if name else []
        if isinstance(number, int):
            named = [f"{number}/{name}", f"{number}-{name}", f"{number}_{name}"] if name else []
            places = [*named, str(number), *places]
        for each in places:
            path = self.folder / each
            # a link may lead out of the folder
            if path.is_file() and path.resolve().is_relative_to(self.folder.resolve()):
                fits = path.stat().st_size == size if isinstance(size, int) else each != name
                if fits:
                    yield path
