"""What every form that changes a flag shares: its reason, the version it is based on, and what becomes of a refusal."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import flash, request, url_for

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.text import whole_number
from trackside_modules.flags import service
from trackside_modules.flags.service import requests
from trackside_modules.flags.service.states import Edit
from trackside_modules.flags.web.base import Page

MOST_FIELDS = 5000


@dataclass(slots=True)
class Trial:
    """What came of a form: where it failed it is shown once more, with all that was typed."""

    values: Mapping[str, str] = field(default_factory=dict)
    """As typed, by field."""
    problems: dict[str, str] = field(default_factory=dict)
    """What is wrong, by field."""
    message: str = ""
    """What is wrong with it as a whole."""
    status: int = 200
    stale: bool = False
    """Whether someone else changed the flag meanwhile."""
    preview: Any = None
    """What it would do, in words; None where that was not asked."""


def posted(*names: str) -> dict[str, str]:
    """Return the posted fields; raises InputError for one that is not of `names`, where any are given."""
    fields = {name: value for name, value in request.form.items() if name != "csrf_token"}
    if len(fields) > MOST_FIELDS:
        raise InputError(f"This form has more than {MOST_FIELDS:,} fields.")
    unknown = sorted(set(fields) - set(names)) if names else []
    if unknown:
        raise InputError(f"There is no field {', '.join(unknown)[:200]}.", dict.fromkeys(unknown, "is unknown"))
    return fields


def reason_in(fields: Mapping[str, str]) -> str:
    """Return why something is changed; raises InputError where nobody said."""
    reason = " ".join(fields.get("reason", "").split())
    if not reason:
        message = "Say why, in a few words: whoever looks at this flag later will want to know."
        raise InputError(f"reason: {message}", {"reason": message})
    return reason


def version_in(fields: Mapping[str, str], name: str = "version") -> int:
    """Return the version that a form is based on; raises InputError for a form that is not whole."""
    found = whole_number(fields.get(name, ""))
    if found is None:
        raise InputError("This form is not whole: load the page again.")
    return found


def save_state(page: Page, edit: Edit, fields: Mapping[str, str], done: str, what: str = "edited") -> str:
    """Change a flag's state, or propose that where a second member must agree; return where to go on.

    Raises InputError, Conflict and StaleVersion; nothing has happened then.
    """
    session, reason, version = db.session(), reason_in(fields), version_in(fields)
    how: dict[str, Any] = {"who": actor(), "now": page.now, "reason": reason, "if_version": version, "what": what}
    if page.demands_approval:
        row = requests.propose(session, page.env.id, page.flag.key, edit, **how)
        session.commit()
        flash(f"Proposed: another member has to approve changes in {page.env.name}.", "success")
        return url_for("flags.request_show", request_id=row.id)
    service.change(session, page.env.id, page.flag.key, edit, **how)
    session.commit()
    flash(done, "success")
    return url_for("flags.show", flag_id=page.flag.id, env=page.env.slug)


def failed(error: InputError | Conflict, fields: Mapping[str, str], shown: Collection[str] | None = None) -> Trial:
    """Return what a form shows after a refusal; whatever was begun is undone.

    `shown` are the fields beside which it tells problems (None: any); what has none of these is told above them.
    """
    db.session().rollback()
    problems = dict(error.fields) if isinstance(error, InputError) else {}
    told = bool(problems) if shown is None else any(name in problems for name in shown)
    message = "" if told else next(iter(problems.values()), error.message)
    return Trial(fields, problems, message, error.status, stale=error.code == "stale")
