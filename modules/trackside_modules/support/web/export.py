"""The support log as a file: what the list shows, or all of it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from flask import Response, stream_with_context
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.db import db
from trackside.errors import NotFound
from trackside.web.policy import require
from trackside_modules.support.queries import chips, exporting
from trackside_modules.support.web import asking
from trackside_modules.support.web.base import VIEW, blueprint, now

_MIME = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_AT_ONCE = 64


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
    # the first pieces are made here, so that what goes wrong is still answered as an error
    pieces = chain(list(islice(pieces, 2)), pieces)
    name = f"trackside-support{'-events' if by_event else ''}.{form}"
    response = Response(stream_with_context(_encoded(pieces)), content_type=_MIME[form])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _encoded(pieces: Iterator[str]) -> Iterator[bytes]:
    while some := list(islice(pieces, _AT_ONCE)):
        yield "".join(some).encode()
