"""A file of elsewhere: what kind it is, and its records as they are asked for. Of the shell, of pages and of jobs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from trackside.customers import sheets
from trackside.errors import InputError
from trackside_modules.support.importing import dates, sheet, zendesk
from trackside_modules.support.importing.beside import Beside
from trackside_modules.support.importing.dates import Dates
from trackside_modules.support.importing.records import Broken, Record, Records

CSV, ZENDESK = "csv", "zendesk"
FORMS: Mapping[str, str] = {CSV: "CSV", ZENDESK: "Zendesk, JSON"}
MOST_ROWS = 500_000
ISO = Dates()
UNCLEAR = (
    "Dates like 03/04/2026 may begin with the day or with the month: choose below which comes first, then check again."
)
"""As a page says it; the shell has words of its own."""


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
    when: Dates = ISO,
) -> Records:
    """Yield the records of `file`; `fields` says by the columns of a CSV where each field is.

    `beside` finds what was attached to messages of Zendesk; `when` says how the dates of a CSV are written.

    Raises InputError for what is no such file, and where its dates can be read in two ways; the last of too many rows
    is told as broken.
    """
    if form == ZENDESK:
        return _so_many(zendesk.records(file, beside))
    first = sheets.opened(file)
    mapping = fields(first.columns)
    order = when.order or dates.order_in(first, mapping)
    if order == dates.UNCLEAR:
        raise InputError(UNCLEAR, {"dates": UNCLEAR})
    rows = dates.in_iso(sheets.opened(file), mapping, replace(when, order=order))
    return _so_many(sheet.records(rows, mapping))


def _so_many(found: Records) -> Iterator[Record | Broken]:
    for count, record in enumerate(found, start=1):
        if count > MOST_ROWS:
            yield Broken(
                record.line, f"from here on it is more than {MOST_ROWS:,} rows: import that as a file of its own"
            )
            return
        yield record
