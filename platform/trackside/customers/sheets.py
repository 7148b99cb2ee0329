"""CSV as it comes from elsewhere: encodings, delimiters, and the apostrophe that keeps a cell from being run."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackside.csv_lines import unquoted
from trackside.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader

MAX_BYTES = 16 << 20
MAX_ROWS = 100_000
MAX_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's head, and its rows with the number of the line each starts on."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]


def decoded(content: bytes) -> tuple[str, str]:
    """Return a file's text and the encoding it was in: UTF-8 or UTF-16 by its marks and rules, else Windows-1252.

    Raises InputError for what is no text in any of them.
    """
    for encoding in _candidates(content):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding
    raise InputError(
        "This is not a text file in UTF-8, UTF-16 or Windows-1252: export it as CSV (UTF-8) and try again."
    )


def _candidates(content: bytes) -> tuple[str, ...]:
    if content.startswith(codecs.BOM_UTF8):
        return ("utf-8-sig",)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    # text in Latin letters has a NUL in every second byte, and nothing else has
    head = content[:1000]
    if head[1::2].count(0) > len(head) / 4:
        return ("utf-16-le",)
    if head[0::2].count(0) > len(head) / 4:
        return ("utf-16-be",)
    return ("utf-8", "cp1252")


def parsed(text: str) -> Sheet:
    """Return the sheet in `text`, whichever of comma, semicolon and tab parts its cells.

    Raises InputError, with the line, for what cannot be read, has no rows or too many.
    """
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    lines = _lines(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    _, columns = next(lines, (0, []))
    if not columns:
        raise InputError("This file is empty: its first line names the columns, each line after it is one row.")
    if len(columns) > MAX_COLUMNS:
        raise InputError(f"This file has {len(columns)} columns; at most {MAX_COLUMNS} are read.")
    rows = []
    for number, cells in lines:
        rows.append((number, cells))
        if len(rows) > MAX_ROWS:
            raise InputError(f"This file has more than {MAX_ROWS:,} rows: split it and import the parts.")
    if not rows:
        raise InputError("This file has a first line with columns, and no rows below it.")
    return Sheet([column.strip() for column in columns], rows)


def _lines(reader: "Reader") -> Iterator[tuple[int, list[str]]]:
    """Yield each line that is not blank with the number it starts on; a quoted cell may span lines."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"Line {number} cannot be read as CSV: {error}.") from None
        if any(cell.strip() for cell in cells):
            yield number, [unquoted(cell.strip()) for cell in cells]
