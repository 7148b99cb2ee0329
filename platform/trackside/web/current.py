"""The runtime behind the request at hand, for views and whatever they call."""

from flask import current_app

from trackside.runtime import Runtime


def current_runtime() -> Runtime:
    """Return the runtime that this request's app was made with."""
    runtime: Runtime = current_app.extensions["trackside"]
    return runtime
