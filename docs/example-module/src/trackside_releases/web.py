"""Pages: parse, check the permission, call, render."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import allowed, require
from trackside_releases import queries, service
from trackside_releases.forms import ReleaseForm

blueprint = Blueprint("releases", __name__, url_prefix="/releases", template_folder="templates")


@blueprint.get("/")
@require("releases.view")
def index() -> ResponseReturnValue:
    """List the newest releases."""
    return _page(ReleaseForm())


@blueprint.post("/")
@require("releases.record")
def record() -> ResponseReturnValue:
    """Record a release that is live now."""
    form = ReleaseForm()
    if not form.validate_on_submit():
        return _page(form)
    now = current_runtime().clock.now()
    service.record(db.session(), current_environment().id, form.version.data or "", now)
    db.session.commit()
    flash("Recorded. Every chart now shows it.", "success")
    return redirect(url_for("releases.index"))


def _page(form: ReleaseForm) -> str:
    releases = queries.newest(db.session(), current_environment().id)
    may_record = allowed("releases.record")
    return render_template("releases/index.html", releases=releases, form=form, may_record=may_record)
