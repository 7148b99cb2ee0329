"""What a page shows, all its pages, as CSV or JSON: `?format=csv` beside the page's own filters.

wanted = export.asked()
if wanted: return export.send("endpoints", wanted, COLUMNS, rows)
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from flask import Response

from trackside.web.downloads import as_table, download
from trackside_modules.usage.web.asked import choice

MOST = 10_000
"""Rows of an export: the first ones in the page's order."""
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
    response = download(f"trackside-{name}.{kind}", as_table(kind, heads, taken))
    response.headers["Trackside-Rows"] = str(len(taken))
    return response
