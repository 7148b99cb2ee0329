"""What a page shows, all its pages, as CSV or JSON: `?format=csv` beside the page's own filters.

wanted = export.asked()
if wanted: return export.send("endpoints", wanted, COLUMNS, rows)
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec
from flask import Response

from trackside.csv_lines import line
from trackside_modules.usage.web.asked import choice

MOST = 10_000
"""Rows of an export: the first ones in the page's order."""
_MIME = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
R = TypeVar("R")
Columns = Sequence[tuple[str, Callable[[R], Any]]]
"""The name of each column, and its plain value (text, number, time or None) in a row."""


def asked() -> str:
    """Return the format in the URL, `csv` or `json`; empty where the page itself is wanted."""
    return choice("format", ("", "csv", "json"), "")


def send(name: str, kind: str, columns: Columns[R], rows: Iterable[R]) -> Response:
    """Answer with a file of the rows, at most `MOST`; the header `Trackside-Rows` says how many there are."""
    taken = [[value(row) for _, value in columns] for row in islice(rows, MOST)]
    heads = [head for head, _ in columns]
    if kind == "csv":
        body = "".join([line(heads), *(line([_cell(value) for value in row]) for row in taken)])
    else:
        body = msgspec.json.encode([dict(zip(heads, map(_plain, row), strict=True)) for row in taken]).decode() + "\n"
    response = Response(body, content_type=_MIME[kind])
    response.headers["Content-Disposition"] = f'attachment; filename="trackside-{name}.{kind}"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["Trackside-Rows"] = str(len(taken))
    return response


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return round(value, 6) if isinstance(value, float) else value


def _cell(value: Any) -> str:
    return "" if value is None else str(_plain(value))
