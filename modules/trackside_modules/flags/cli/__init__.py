"""`trackside flags`."""

from trackside_modules.flags.cli import requests  # noqa: F401 - it adds its commands
from trackside_modules.flags.cli.commands import flags

__all__ = ["flags"]
