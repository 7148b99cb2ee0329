"""The support log as a file: what the list shows, or all of it."""

from dataclasses import replace

from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.db import db
from trackside.errors import NotFound
from trackside.web.downloads import download
from trackside.web.policy import require
from trackside_modules.support.queries import chips, exporting
from trackside_modules.support.web import asking
from trackside_modules.support.web.base import VIEW, blueprint, now


@blueprint.get("/export.<form>")
@require(VIEW)
def export(form: str) -> ResponseReturnValue:
    """Send the interactions that `q` finds, those merged away too; with `events=1` all that happened to them."""
    if form not in exporting.FORMATS:
        raise NotFound("Exports are .csv or .json.")
    asked = chips.ask(db.session(), asking.text("q"), now=now(), member_id=current_user.id)
    by_event = asking.text("events") == "1"
    found = replace(asked.must("q"), merged=True)
    pieces = exporting.export(db.session(), found, now=now(), form=form, by_event=by_event)
    return download(f"trackside-support{'-events' if by_event else ''}.{form}", pieces)
