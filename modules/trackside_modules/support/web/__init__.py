"""The pages of the support log: one file a page."""

from trackside_modules.support.web import (
    bulk,
    changing,
    csat,
    export,
    files,
    index,
    mailed,
    merging,
    new,
    reports,
    saved,
    settings,
    show,
    topics,
    trackers,
    work_hooks,
    writing,
)
from trackside_modules.support.web.base import blueprint

__all__ = [
    "blueprint",
    "bulk",
    "changing",
    "csat",
    "export",
    "files",
    "index",
    "mailed",
    "merging",
    "new",
    "reports",
    "saved",
    "settings",
    "show",
    "topics",
    "trackers",
    "work_hooks",
    "writing",
]
