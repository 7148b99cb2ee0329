"""Settings of trackers: where they post, the secret they sign with, and what they told of late."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import Form, RadioField, StringField

from trackside.auth.forms import choices
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside_modules.support import words
from trackside_modules.support.models import Tracker
from trackside_modules.support.queries import work
from trackside_modules.support.service import trackers as service
from trackside_modules.support.web import clock_forms
from trackside_modules.support.web.base import MANAGE, VIEW, blueprint, how


class TrackerForm(Form):
    """A tracker."""

    name = StringField("Name", description="A code host, an organisation or a repository: what you call it.")
    ships_on = RadioField(
        "Work is with customers",
        choices=choices(service.SHIPS_ON.items()),
        default="merge",
        validate_choice=False,
    )


@blueprint.get("/settings/trackers")
@require(VIEW)
def trackers() -> ResponseReturnValue:
    """List the trackers, and what they told of late."""
    return _trackers(TrackerForm())


@blueprint.post("/settings/trackers")
@require(MANAGE)
def add_tracker() -> ResponseReturnValue:
    """Let a tracker tell us; show its address and secret, this once."""
    form, key = TrackerForm(request.form), current_runtime().settings.secret_key
    try:
        made, secret = service.add(db.session(), form.name.data or "", form.ships_on.data or "", key, **how())
    except (InputError, Conflict) as error:
        db.session().rollback()
        clock_forms.show_errors(form, error.fields if isinstance(error, InputError) else {}, error.message)
        return _trackers(form), error.status
    db.session().commit()
    return _made(made, secret)


@blueprint.post("/settings/trackers/<int:tracker_id>/rotate")
@require(MANAGE)
def rotate_tracker(tracker_id: int) -> ResponseReturnValue:
    """Make another secret, and show it, this once."""
    made, secret = service.rotate(db.session(), tracker_id, current_runtime().settings.secret_key, **how())
    db.session().commit()
    return _made(made, secret)


@blueprint.post("/settings/trackers/<int:tracker_id>/remove")
@require(MANAGE)
def remove_tracker(tracker_id: int) -> ResponseReturnValue:
    """Hear a tracker no more."""
    service.remove(db.session(), tracker_id, **how())
    db.session().commit()
    flash("The tracker is removed; links that it made stay.", "success")
    return redirect(url_for("support.trackers"))


def _trackers(form: TrackerForm) -> str:
    session = db.session()
    return render_template(
        "support/trackers.html",
        form=form,
        trackers=work.trackers(session),
        news=work.news(session),
        ships_on=service.SHIPS_ON,
        address=_address,
        unknown=lambda row: ", ".join(words.ref(each) for each in row.unknown),
    )


def _made(it: Tracker, secret: str) -> str:
    return render_template("support/tracker_made.html", it=it, secret=secret, address=_address(it.id))


def _address(tracker_id: int) -> str:
    return service.address_of(current_runtime().settings, tracker_id)
