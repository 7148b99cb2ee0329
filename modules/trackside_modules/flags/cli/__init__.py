"""`trackside flags`."""

from trackside_modules.flags.cli import changing, documents, reading, requests  # noqa: F401 - they add their commands
from trackside_modules.flags.cli.group import flags

__all__ = ["flags"]
