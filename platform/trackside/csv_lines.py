"""CSV that leaves us: a cell that starts like a formula is written with an apostrophe before it, as spreadsheets do."""

import csv
import io
from collections.abc import Sequence

_RUNS = ("=", "+", "-", "@", "\t", "\r", "'")


def quoted(cell: str) -> str:
    """Return `cell` so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell.startswith(_RUNS) else cell


def unquoted(cell: str) -> str:
    """Return what `quoted` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RUNS) else cell


def line(cells: Sequence[str]) -> str:
    """Return one line of CSV, with its line end."""
    out = io.StringIO()
    csv.writer(out).writerow([quoted(cell) for cell in cells])
    return out.getvalue()
