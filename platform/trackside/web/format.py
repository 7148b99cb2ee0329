"""How numbers and times are written on pages."""

from flask import Flask


def install(app: Flask) -> None:
    """Add the filters to `app`'s templates."""
