"""The demo's support log: ninety days of a shipping API's customers."""

from trackside_modules.support.demo.clear import clear
from trackside_modules.support.demo.seed import seed

__all__ = ["clear", "seed"]
