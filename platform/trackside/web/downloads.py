"""Files that a page sends: `download("trackside-users.csv", pieces)`, and tables as the text of one."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import msgspec
from flask import Response, stream_with_context

from trackside.csv_lines import line

_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_AT_ONCE = 64
"""Pieces that leave together: each by itself would cost a write of the server."""


def download(name: str, content: str | Iterator[str]) -> Response:
    """Answer with a file called `name`, which ends in `.csv` or `.json`: a text, or pieces sent as they are made."""
    body = content if isinstance(content, str) else stream_with_context(_encoded(begun(content)))
    response = Response(body, content_type=_TYPES[name.rpartition(".")[2]])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def begun(pieces: Iterator[str]) -> Iterator[str]:
    """Return all of `pieces`; head and first row are made here, where what goes wrong is still answered as an error."""
    return chain(list(islice(pieces, 2)), pieces)


def as_table(form: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV with a line of heads, or as a JSON list of objects; cells: text, numbers, times, None."""
    if form == "csv":
        return line(heads) + "".join(line(["" if each is None else str(_plain(each)) for each in row]) for row in rows)
    return msgspec.json.encode([dict(zip(heads, map(_plain, row), strict=True)) for row in rows]).decode() + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return round(value, 6) if isinstance(value, float) else value


def _encoded(pieces: Iterator[str]) -> Iterator[bytes]:
    while some := list(islice(pieces, _AT_ONCE)):
        yield "".join(some).encode()
