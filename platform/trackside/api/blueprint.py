"""The Flask blueprint of the management API, built from what the modules contribute."""

from flask import Blueprint

from trackside.runtime import Runtime


def build(runtime: Runtime) -> Blueprint:
    """Return the blueprint of `/api/v1`."""
    return Blueprint("api", __name__, url_prefix="/api/v1")
