"""Who sees this: a flag evaluated for one user or account, with every step in words."""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import InputError
from trackside.web.policy import require
from trackside_client.flags import check_context
from trackside_modules.flags.drafts.values import read_values
from trackside_modules.flags.queries import seeing
from trackside_modules.flags.web.base import VIEW, blueprint, open_page, text

MOST_GIVEN = 4000


@blueprint.get("/<int:flag_id>/who")
@require(VIEW)
def who(flag_id: int) -> ResponseReturnValue:
    """Show what a user gets, and why."""
    page, session = open_page(flag_id), db.session()
    asked, given, problem = text("user"), "", ""
    try:
        given = _given()
        attributes = read_attributes(given)
    except InputError as error:
        attributes, problem = {}, error.message
    whom = trace = None
    if (asked or attributes) and not problem:
        whom = seeing.whom(session, asked, attributes)
        problem = check_context(whom.context) or ""
    if whom is not None and not problem and page.flag.archived_at is None:
        trace = seeing.explain(session, page.env.id, page.flag.key, whom.context, page.now)
    unknown = bool(whom and asked and whom.user is None and whom.account is None)
    return render_template(
        "flags/who.html",
        page=page,
        asked=asked,
        given=given,
        problem=problem,
        whom=whom,
        trace=trace,
        near=seeing.find(session, asked) if unknown else [],
        unknown=unknown,
    ), 422 if problem else 200


def _given() -> str:
    from flask import request

    found = request.args.get("with", "").replace("\r\n", "\n").strip()
    if len(found) > MOST_GIVEN or "\0" in found:
        raise InputError(f"Use {MOST_GIVEN:,} characters of attributes or fewer.")
    return found


def read_attributes(lines: str) -> dict[str, Any]:
    """Return the attributes that `name = value` lines write; raises InputError for a line that is none."""
    found: dict[str, Any] = {}
    for number, line in enumerate(lines.splitlines(), 1):
        if not line.strip():
            continue
        name, sign, value = line.partition("=")
        if not sign or not name.strip():
            raise InputError(f"Line {number} is no attribute: write it as plan = pro.")
        values = read_values(value, "in")
        found[name.strip()] = values[0] if len(values) == 1 else values or ""
    return found
