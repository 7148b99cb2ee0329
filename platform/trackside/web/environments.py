"""Which environment a page shows: `?env=` in the URL, else the one chosen last, else the first."""

from flask import g, request

from trackside.db import db
from trackside.errors import Unavailable
from trackside.workspace import Environment, environment_by_slug, environments

COOKIE = "trackside_env"


def all_environments() -> list[Environment]:
    """Return every environment, read once a request."""
    if "environments" not in g:
        g.environments = environments(db.session())
    found: list[Environment] = g.environments
    return found


def current_environment() -> Environment:
    """Return the environment of this page; raises NotFound where the URL names one that does not exist."""
    slug = request.args.get("env")
    if slug:
        return environment_by_slug(db.session(), slug)
    chosen = request.cookies.get(COOKIE)
    for each in all_environments():
        if each.slug == chosen:
            return each
    if not all_environments():
        raise Unavailable("The workspace has no environment yet: run `trackside db seed`")
    return all_environments()[0]
