"""What all pages of usage share: the blueprint, and the tabs that lead from one to the other."""

from datetime import datetime
from typing import Any

from flask import Blueprint

from trackside.web.links import link
from trackside_modules.usage.web.asked import Asked

blueprint = Blueprint("usage", __name__, url_prefix="/usage", template_folder="../templates")

TABS: tuple[tuple[str, str], ...] = (
    ("Endpoints", "usage.endpoints"),
    ("Users", "usage.users"),
    ("Accounts", "usage.accounts"),
    ("Patterns", "usage.patterns_page"),
    ("Errors", "usage.errors"),
    ("Wrong turns", "usage.wrong_turns_page"),
    ("Rate limits", "usage.limits"),
    ("Sources", "usage.sources"),
)
"""Label and endpoint of each, in the order shown; a page names its label."""


@blueprint.app_template_global()
def usage_tabs(asked: Asked) -> list[tuple[str, str, Any]]:
    """Return the tabs as `ui.tabs` takes them; each keeps the filters that are on."""
    return [(label, link(endpoint, **asked.kept), None) for label, endpoint in TABS]


@blueprint.app_template_filter()
def instant(written: str) -> datetime:
    """Return the moment that a card's plain values hold as text."""
    return datetime.fromisoformat(written)
