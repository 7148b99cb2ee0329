"""A file of elsewhere: what kind it is, and its records as they are asked for. Of the shell, of pages and of jobs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from trackside.customers import sheets
from trackside_modules.support.importing import sheet, zendesk
from trackside_modules.support.importing.beside import Beside
from trackside_modules.support.importing.records import Broken, Record, Records

CSV, ZENDESK = "csv", "zendesk"
FORMS: Mapping[str, str] = {CSV: "CSV", ZENDESK: "Zendesk, JSON"}
MOST_ROWS = 500_000


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is."""

    form: str
    """`csv` or `zendesk`."""
    encoding: str = "utf-8"
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    """Of CSV, which may have some of the same name."""


def look(file: BinaryIO) -> Kind:
    """Return what `file` is, by its content; raises InputError for neither CSV nor JSON."""
    file.seek(0)
    head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in (b"{", b"["):
        return Kind(ZENDESK)
    found = sheets.opened(file)
    return Kind(CSV, found.encoding, found.delimiter, tuple(found.columns))


def records(
    file: BinaryIO,
    form: str,
    fields: Callable[[Sequence[str]], Mapping[str, int]],
    *,
    beside: Beside | None = None,
) -> Records:
    """Yield the records of `file`; `fields` says by the columns of a CSV where each field is.

    `beside` finds what was attached to messages of Zendesk.

    Raises InputError for what is no such file; the last of too many rows is told as broken.
    """
    if form == ZENDESK:
        return _so_many(zendesk.records(file, beside))
    rows = sheets.opened(file)
    return _so_many(sheet.records(rows, fields(rows.columns)))


def _so_many(found: Records) -> Iterator[Record | Broken]:
    for count, record in enumerate(found, start=1):
        if count > MOST_ROWS:
            yield Broken(
                record.line, f"from here on it is more than {MOST_ROWS:,} rows: import that as a file of its own"
            )
            return
        yield record
