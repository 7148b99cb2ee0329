"""Pages of usage: one blueprint; each file below adds its views to it, and is named here."""

from trackside_modules.usage.web import errors, overview, patterns, rows, wrong_turns
from trackside_modules.usage.web.base import blueprint

__all__ = ["blueprint", "errors", "overview", "patterns", "rows", "wrong_turns"]
