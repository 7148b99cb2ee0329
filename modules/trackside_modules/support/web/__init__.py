"""The pages of the support log: one file a page."""

from trackside_modules.support.web import bulk, changing, files, index, merging, new, saved, show, writing
from trackside_modules.support.web.base import blueprint

__all__ = ["blueprint", "bulk", "changing", "files", "index", "merging", "new", "saved", "show", "writing"]
