"""Which environment a page shows: `?env=` in the URL, else the one chosen last, else the first."""

from typing import Any

from flask import Flask, g, has_request_context, request

from trackside.db import db
from trackside.errors import Unavailable
from trackside.workspace import Environment, environment_by_slug, environments

COOKIE = "trackside_env"
_WITHOUT = ("assets.", "api.", "probes.", "home.environment", "home.theme", "auth.sign_out", "static")
"""Endpoints whose links never carry an environment."""


def install(app: Flask) -> None:
    """Keep `?env=` in the links of a page that was opened with it: what one follows shows the same environment."""

    @app.before_request
    def check() -> None:
        given = request.args.get("env")
        if given and not (request.endpoint or "").startswith(_WITHOUT):
            g.kept_environment = next((each.slug for each in all_environments() if each.slug == given), None)

    @app.url_defaults
    def keep(endpoint: str, values: dict[str, Any]) -> None:
        if has_request_context() and g.get("kept_environment") and not endpoint.startswith(_WITHOUT):
            values.setdefault("env", g.kept_environment)


def all_environments() -> list[Environment]:
    """Return every environment, read once a request."""
    if "environments" not in g:
        g.environments = environments(db.session())
    found: list[Environment] = g.environments
    return found


def current_environment() -> Environment:
    """Return the environment of this page; raises NotFound where the URL names one that does not exist."""
    if "environment" not in g:
        g.environment = _current()
    found: Environment = g.environment
    return found


def _current() -> Environment:
    there, slug = all_environments(), request.args.get("env")
    if slug:
        return next((each for each in there if each.slug == slug), None) or environment_by_slug(db.session(), slug)
    if not there:
        raise Unavailable("The workspace has no environment yet: run `trackside db upgrade`")
    chosen = request.cookies.get(COOKIE)
    return next((each for each in there if each.slug == chosen), there[0])
