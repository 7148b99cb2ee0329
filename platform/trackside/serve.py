"""`trackside web`: the lane in front of the Flask app, as one WSGI callable."""

from typing import Any

from trackside.app import create_app
from trackside.settings import load_settings


def build() -> Any:
    """Return the WSGI callable of this process's settings."""
    return create_app(load_settings())
