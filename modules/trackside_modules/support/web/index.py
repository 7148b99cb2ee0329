"""The list alone, with room for more of each interaction."""

from flask import render_template
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.web.policy import require
from trackside_modules.support.web.base import VIEW, blueprint
from trackside_modules.support.web.desk import desk_of


@blueprint.get("/")
@require(VIEW)
def index() -> ResponseReturnValue:
    """List what a view holds, or what a search finds."""
    return render_template("support/index.html", desk=desk_of(db.session()))
