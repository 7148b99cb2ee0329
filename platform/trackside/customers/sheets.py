"""CSV as it comes from elsewhere: encodings, delimiters, and the apostrophe that keeps a cell from being run."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from trackside.csv_lines import unquoted
from trackside.errors import InputError

MAX_BYTES = 16 << 20
MAX_ROWS = 100_000
MAX_COLUMNS = 100
DELIMITERS = ",;\t"
PIECE = 1 << 18
MAX_ROW = 1 << 20
"""Characters of a row, whichever lines it spans: more of it is never held."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's head, and its rows with the number of the line each starts on."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]


@dataclass(frozen=True, slots=True)
class Stream:
    """A file's head, and its rows as they are asked for: no more than one of them is held."""

    encoding: str
    delimiter: str
    columns: list[str]
    rows: Iterator[tuple[int, list[str] | InputError]]
    """Each with the number of the line it starts on; an error where it cannot be read: the next may be."""


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
    raise _no_text()


def encoding_of(file: BinaryIO) -> str:
    """Return the encoding of a file as `decoded` does, by reading it piece by piece.

    Raises InputError for what is no text in any of them.
    """
    file.seek(0)
    for encoding in _candidates(file.read(1000)):
        decoder = codecs.getincrementaldecoder(encoding)()
        file.seek(0)
        try:
            pieces = iter(lambda: file.read(PIECE), b"")
            if not any("\0" in decoder.decode(piece) for piece in pieces):
                decoder.decode(b"", final=True)
                return encoding
        except UnicodeDecodeError:
            continue
    raise _no_text()


def opened(file: BinaryIO) -> Stream:
    """Return the sheet in `file`, which is read as its rows are asked for; see `decoded` and `parsed`.

    Raises InputError for what is no text, is empty or has too many columns.
    """
    encoding = encoding_of(file)
    file.seek(0)
    heads = iter(_Bounded(_text(file, encoding)))
    head = next((line for line in heads if line.strip("\r\n")), "")
    delimiter = max(DELIMITERS, key=head.count)
    file.seek(0)
    lines = _readable(_Bounded(_text(file, encoding)), delimiter)
    return Stream(encoding, delimiter, _head(next(lines, (0, []))[1]), lines)


class _Borrowed(io.RawIOBase):
    """A file of somebody else's, whom closing is left to."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Borrowed(file), PIECE), encoding, newline="")


class _Bounded:
    """The lines of a text, as a reader of CSV asks for them: those of one row may have `MAX_ROW` characters."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._left = MAX_ROW
        self.given = 0
        """Lines, the one that was too long among them."""

    def begin(self) -> int:
        """Begin a row; return the number of its line."""
        self._left = MAX_ROW
        return self.given + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._left + 1)
        if not line:
            raise StopIteration
        self.given += 1
        if len(line) > self._left:
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(PIECE)
            raise InputError(
                f"Line {self.given} is too long: a row may have {MAX_ROW:,} characters. Is a quotation mark missing?"
            )
        self._left -= len(line)
        return line


def _no_text() -> InputError:
    return InputError(
        "This is not a text file in UTF-8, UTF-16 or Windows-1252: export it as CSV (UTF-8) and try again."
    )


def _head(columns: list[str] | InputError) -> list[str]:
    if isinstance(columns, InputError):
        raise columns
    if not columns:
        raise InputError("This file is empty: its first line names the columns, each line after it is one row.")
    if len(columns) > MAX_COLUMNS:
        raise InputError(f"This file has {len(columns)} columns; at most {MAX_COLUMNS} are read.")
    return [column.strip() for column in columns]


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
    delimiter = max(DELIMITERS, key=head.count)
    lines = _lines(_Bounded(io.StringIO(text, newline="")), delimiter)
    columns = _head(next(lines, (0, []))[1])
    rows = []
    for number, cells in lines:
        rows.append((number, cells))
        if len(rows) > MAX_ROWS:
            raise InputError(f"This file has more than {MAX_ROWS:,} rows: split it and import the parts.")
    if not rows:
        raise InputError("This file has a first line with columns, and no rows below it.")
    return Sheet(columns, rows)


def _lines(given: _Bounded, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each line that is not blank with the number it starts on; raises InputError where one cannot be read."""
    for number, cells in _readable(given, delimiter):
        if isinstance(cells, InputError):
            raise cells
        yield number, cells


def _readable(given: _Bounded, delimiter: str) -> Iterator[tuple[int, list[str] | InputError]]:
    """Yield each line that is not blank with the number it starts on; a quoted cell may span lines."""
    reader = csv.reader(given, delimiter=delimiter, strict=True)
    while True:
        number = given.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, InputError(f"Line {number} cannot be read as CSV: {error}.")
            continue
        except InputError as error:
            yield number, error
            continue
        if any(cell.strip() for cell in cells):
            yield number, [unquoted(cell.strip()) for cell in cells]
