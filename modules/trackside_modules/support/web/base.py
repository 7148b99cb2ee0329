"""What all pages of the support log share: the blueprint, its permissions, what forms post, where one goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Blueprint, request, url_for
from markupsafe import Markup

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError, TooLarge, Unavailable
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.home import own_path
from trackside_modules.support import words
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import Interaction

VIEW, WORK, MANAGE = "support.view", "support.work", "support.manage"
LONGEST_SEARCH = 300
Pairs = list[tuple[str, str]]
"""What a choice offers: values with their words."""

blueprint = Blueprint("support", __name__, url_prefix="/support", template_folder="../templates")


@dataclass(slots=True)
class Trial:
    """What came of a form: where it failed it is shown once more, with all that was typed."""

    values: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    status: int = 200
    stale: bool = False
    """Whether something happened to the interaction meanwhile."""
    preview: Markup | None = None


@blueprint.app_context_processor
def _words() -> dict[str, Any]:
    return {"words": words} if request.blueprint == "support" else {}


def now() -> datetime:
    """Return the time of the app's clock."""
    return current_runtime().clock.now()


def how() -> dict[str, Any]:
    """Return who does it and when, as every piece of work takes them."""
    return {"who": actor(), "now": now()}


def open_interaction(number: int) -> Interaction:
    """Return the interaction of a page; raises NotFound."""
    return get(db.session(), number)


def posted(*names: str) -> dict[str, str]:
    """Return the posted fields; raises InputError for one that is not of `names`."""
    fields = {name: value for name, value in request.form.items() if name != "csrf_token"}
    unknown = sorted(set(fields) - set(names))
    if unknown:
        raise InputError(f"There is no field {', '.join(unknown)[:200]}.", dict.fromkeys(unknown, "is unknown"))
    if any("\0" in value for value in fields.values()):
        raise InputError("A field holds a character that cannot be.")
    return fields


def whole(text: str, field_name: str = "version") -> int | None:
    """Return a posted whole number, None for an empty text; raises InputError for anything else."""
    if not text:
        return None
    if (found := whole_number(text)) is None:
        raise InputError("This form is not whole: load the page again.", {field_name: "is not a number"})
    return found


def failed(error: InputError | Conflict | TooLarge | Unavailable, values: Mapping[str, str]) -> Trial:
    """Return what a form shows after a refusal; whatever was begun is undone."""
    db.session().rollback()
    problems = error.fields if isinstance(error, InputError) else {}
    message = next(iter(problems.values()), error.message)
    return Trial(values, message, error.status, stale=error.code == "stale")


def thread_url(number: int) -> str:
    """Return the address of an interaction, within the list that this request came from."""
    kept: dict[str, Any] = {
        name: value for name in ("view", "q", "sort", "cursor") if (value := request.args.get(name))
    }
    return url_for("support.show", number=number, **kept)


def following_or(number: int, fields: Mapping[str, str]) -> str:
    """Return where one goes on: the interaction that the form names as the next, else back to `number`."""
    following = whole(fields.get("next", ""), "next")
    return thread_url(following) if following else thread_url(number)


def back_or(fields: Mapping[str, str]) -> str:
    """Return the list a form came from."""
    back = fields.get("back", "")
    return own_path(back) if back.startswith("/support") else url_for("support.index")
