"""A plugin of coverage that measures nothing: in our own processes it loads the large libraries before any is watched.

Python 3.11 slows down whatever runs while it is watched, libraries too, and each `trackside` that a test starts loads
six hundred of their modules: half a second of CPU is saved by each.
"""

import sys
from importlib import import_module
from pathlib import PurePath

OURS = {"trackside", "pytest"}
"""Commands that load them all."""
LIBRARIES = (
    "click",
    "flask_sqlalchemy",
    "msgspec",
    "psycopg_pool",
    "redis.asyncio",
    "rq",
    "sqlalchemy.dialects.postgresql.psycopg",
    "structlog",
)


def coverage_init(_registry: object, _options: object) -> None:
    """Load the libraries, where the command is one of ours: others would load them in vain."""
    if OURS & {PurePath(each).name for each in sys.orig_argv}:
        for each in LIBRARIES:
            import_module(each)
