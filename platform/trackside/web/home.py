"""The first page after signing in, and the small things of the layout: theme and environment."""

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.web.checklist import DISMISSED
from trackside.web.environments import COOKIE
from trackside.web.policy import public, signed_in
from trackside.workspace import set_fact

blueprint = Blueprint("home", __name__)
YEAR = 365 * 24 * 3600


def own_path(target: str | None) -> str:
    """Return `target` where it is a path of ours, else the home page: nobody is sent to another site."""
    # browsers drop tabs and line ends and read \\ as /: with any of them "/<tab>/evil" is another site
    if target and target.startswith("/") and target[1:2] != "/" and "\\" not in target and target.isprintable():
        return target
    return url_for("home.index")


@blueprint.get("/")
@signed_in
def index() -> ResponseReturnValue:
    """Go to the first entry of the sidebar."""
    from trackside.web.nav import entries

    found = entries()
    return redirect(found[0].url if found else url_for("auth.profile"))


@blueprint.post("/-/theme")
@public("the sign-in page can be dark too; it only sets a cookie")
def theme() -> ResponseReturnValue:
    """Remember light, dark or system."""
    chosen = request.form.get("theme", "system")
    response = redirect(own_path(request.form.get("next")))
    if chosen in {"light", "dark", "system"}:
        response.set_cookie("trackside_theme", chosen, max_age=YEAR, samesite="Lax", httponly=True)
    return response


@blueprint.post("/-/checklist/dismiss")
@signed_in
def dismiss_checklist() -> ResponseReturnValue:
    """Hide the first-minute checklist for the whole workspace."""
    set_fact(db.session(), DISMISSED, "yes")
    db.session.commit()
    return redirect(own_path(request.form.get("next")))


@blueprint.post("/-/environment")
@signed_in
def environment() -> ResponseReturnValue:
    """Remember the environment chosen in the sidebar."""
    response = redirect(own_path(request.form.get("next")))
    response.set_cookie(COOKIE, request.form.get("env", ""), max_age=YEAR, samesite="Lax", httponly=True)
    return response
