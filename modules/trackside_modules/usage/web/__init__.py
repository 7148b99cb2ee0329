"""Pages of usage: one blueprint; each file below adds its views to it, and is named here."""

from trackside_modules.usage.web import overview, rows
from trackside_modules.usage.web.base import blueprint

__all__ = ["blueprint", "overview", "rows"]
