"""The demo's flags: a few that a shipping API could have, with the history that real ones have."""

from trackside_modules.flags.demo.clear import clear
from trackside_modules.flags.demo.seed import seed

__all__ = ["clear", "seed"]
