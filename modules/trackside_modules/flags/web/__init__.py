"""The pages of flags: one file a page."""

from trackside_modules.flags.web import (
    approvals,
    code,
    compare,
    history,
    index,
    new,
    requests,
    settings,
    show,
    targeting,
    who,
)
from trackside_modules.flags.web.base import blueprint

__all__ = [
    "approvals",
    "blueprint",
    "code",
    "compare",
    "history",
    "index",
    "new",
    "requests",
    "settings",
    "show",
    "targeting",
    "who",
]
