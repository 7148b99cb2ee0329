"""Pages of usage: one blueprint; each file below adds its views to it, and is named here."""

from trackside_modules.usage.web import (
    cells,
    customer,
    endpoints,
    errors,
    limits,
    overview,
    patterns,
    people,
    rows,
    sources,
    wrong_turns,
)
from trackside_modules.usage.web.base import blueprint

__all__ = [
    "blueprint",
    "cells",
    "customer",
    "endpoints",
    "errors",
    "limits",
    "overview",
    "patterns",
    "people",
    "rows",
    "sources",
    "wrong_turns",
]
