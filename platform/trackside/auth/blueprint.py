"""The blueprint `auth` that signing in and the profile share, and this app's runtime."""

from flask import Blueprint, current_app

from trackside.runtime import Runtime

blueprint = Blueprint("auth", "trackside.auth")


def runtime() -> Runtime:
    """Return the runtime of this app."""
    found: Runtime = current_app.extensions["trackside"]
    return found
