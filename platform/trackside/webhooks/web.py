"""Pages of webhooks: who is told what, what became of it, and a secret that is shown once."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.forms import show_error
from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError, Unavailable
from trackside.net import network_of
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside.webhooks import queries, service
from trackside.webhooks.forms import EndpointForm
from trackside.webhooks.models import STATES, WAITING, Endpoint
from trackside.webhooks.publishing import TEST
from trackside.webhooks.sending import types_of
from trackside.webhooks.service import Wanted

VIEW, MANAGE = "webhooks.view", "webhooks.manage"
blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")


@blueprint.get("")
@require(VIEW)
def index() -> ResponseReturnValue:
    """List the endpoints, and how they do."""
    found, now = queries.endpoints(db.session()), current_runtime().clock.now()
    told = queries.told(db.session(), [each.id for each in found], now)
    return render_template("webhooks/index.html", endpoints=found, told=told, host_of=service.host_of)


@blueprint.get("/new")
@require(MANAGE)
def new() -> ResponseReturnValue:
    """Ask whom to tell what."""
    form = _form()
    form.types.data = ["*"]
    return _form_page(form)


@blueprint.post("/new")
@require(MANAGE)
def create() -> ResponseReturnValue:
    """Make an endpoint and show its secret: on this page and never again."""
    form = _form()
    key = current_runtime().settings.secret_key
    try:
        made, secret = service.add(db.session(), _wanted(form), key, **_how())
    except (InputError, Unavailable, Conflict) as error:
        return _refused(form, error, None)
    db.session.commit()
    return _made(made, secret, rotated=False)


@blueprint.get("/<int:endpoint_id>")
@require(VIEW)
def show(endpoint_id: int) -> ResponseReturnValue:
    """Show an endpoint and what it was told."""
    session, now = db.session(), current_runtime().clock.now()
    it = service.get(session, endpoint_id)
    state, cursor = request.args.get("state", ""), request.args.get("cursor", "")
    before = whole_number(cursor)
    if state not in {"", *STATES} or (cursor and before is None):
        raise InputError("There is no such part of this list.", {"state": f"Choose of {', '.join(STATES)}."})
    found = queries.deliveries(session, endpoint_id, state=state, before=before, limit=queries.PAGE + 1)
    titles = {each.type: each.title for each in types_of(current_runtime()).values()}
    return render_template(
        "webhooks/_deliveries.html" if request.args.get("part") == "deliveries" else "webhooks/show.html",
        it=it,
        told=queries.told(session, [endpoint_id], now)[endpoint_id],
        deliveries=found[: queries.PAGE],
        more=str(found[queries.PAGE - 1].id) if len(found) > queries.PAGE else None,
        moving=any(each.state == WAITING and each.attempts < 2 for each in found),
        state=state,
        titles={**titles, TEST: "A test"},
        now=now,
        host=service.host_of(it.url),
    )


@blueprint.get("/<int:endpoint_id>/edit")
@require(MANAGE)
def edit(endpoint_id: int) -> ResponseReturnValue:
    """Show an endpoint's form."""
    it = service.get(db.session(), endpoint_id)
    return _form_page(_form(name=it.name, url=it.url, types=it.types, version=str(it.version)), it)


@blueprint.post("/<int:endpoint_id>/edit")
@require(MANAGE)
def save(endpoint_id: int) -> ResponseReturnValue:
    """Change an endpoint."""
    it, form = service.get(db.session(), endpoint_id), _form()
    version = whole_number(form.version.data or "")
    try:
        wanted = _wanted(form)
        service.edit(db.session(), endpoint_id, wanted, if_version=version, **_how())
    except (InputError, Unavailable, Conflict) as error:
        return _refused(form, error, it)
    return _done(endpoint_id, f"{wanted.name} is saved.")


@blueprint.post("/<int:endpoint_id>/rotate")
@require(MANAGE)
def rotate(endpoint_id: int) -> ResponseReturnValue:
    """Make another secret, and show it, this once."""
    found, secret = service.rotate(db.session(), endpoint_id, current_runtime().settings.secret_key, **_how())
    db.session.commit()
    return _made(found, secret, rotated=True)


@blueprint.post("/<int:endpoint_id>/pause")
@require(MANAGE)
def pause(endpoint_id: int) -> ResponseReturnValue:
    """Send nothing more."""
    it = service.pause(db.session(), endpoint_id, **_how())
    return _done(endpoint_id, f"{it.name} is paused: what happens waits for it, for a week at most.")


@blueprint.post("/<int:endpoint_id>/resume")
@require(MANAGE)
def resume(endpoint_id: int) -> ResponseReturnValue:
    """Go on."""
    it = service.resume(db.session(), endpoint_id, **_how())
    return _done(endpoint_id, f"{it.name} is told again, what waits first.")


@blueprint.post("/<int:endpoint_id>/remove")
@require(MANAGE)
def remove(endpoint_id: int) -> ResponseReturnValue:
    """Take an endpoint away."""
    service.remove(db.session(), endpoint_id, **_how())
    db.session.commit()
    flash("The webhook is removed.", "success")
    return redirect(url_for("webhooks.index"))


@blueprint.post("/<int:endpoint_id>/test")
@require(MANAGE)
def try_out(endpoint_id: int) -> ResponseReturnValue:
    """Send a test."""
    service.try_out(db.session(), endpoint_id, now=current_runtime().clock.now())
    return _done(endpoint_id, "A test is on its way: what becomes of it shows below.")


@blueprint.post("/<int:endpoint_id>/deliveries/<int:delivery_id>/again")
@require(MANAGE)
def again(endpoint_id: int, delivery_id: int) -> ResponseReturnValue:
    """Send something again."""
    try:
        service.again(db.session(), endpoint_id, delivery_id, now=current_runtime().clock.now())
    except Conflict as error:
        db.session.rollback()
        flash(error.message, "error")
        return redirect(url_for("webhooks.show", endpoint_id=endpoint_id))
    return _done(endpoint_id, "It is on its way again.")


def _how() -> dict[str, Any]:
    return {"who": actor(), "now": current_runtime().clock.now()}


def _form(**given: Any) -> EndpointForm:
    form = EndpointForm(**given)
    form.offer(types_of(current_runtime()))
    return form


def _form_page(form: EndpointForm, it: Endpoint | None = None) -> str:
    return render_template("webhooks/form.html", form=form, it=it)


def _wanted(form: EndpointForm) -> Wanted:
    wanted = Wanted(form.name.data or "", form.url.data or "", form.types.data or ())
    return wanted.checked(network_of(current_runtime().settings), types_of(current_runtime()))


def _refused(
    form: EndpointForm, error: InputError | Unavailable | Conflict, it: Endpoint | None
) -> ResponseReturnValue:
    db.session.rollback()
    shown = error if isinstance(error, InputError) else InputError(error.message, {"url": error.message})
    if isinstance(error, Conflict):
        shown = InputError(error.message)
    show_error(form, shown)
    return _form_page(form, it), error.status if error.status != 503 else 422


def _made(it: Endpoint, secret: str, *, rotated: bool) -> str:
    return render_template("webhooks/made.html", it=it, secret=secret, rotated=rotated)


def _done(endpoint_id: int, words: str) -> ResponseReturnValue:
    db.session.commit()
    flash(words, "success")
    return redirect(url_for("webhooks.show", endpoint_id=endpoint_id))
