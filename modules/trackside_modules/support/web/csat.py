"""The page on which a customer says how they were helped: no sign-in, one click, then a comment if they like."""

from flask import abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import InputError
from trackside.web.current import current_runtime
from trackside.web.look import now
from trackside.web.policy import public, require
from trackside_modules.support.service import csat
from trackside_modules.support.web.base import WORK, blueprint
from trackside_modules.support.words import ref

FACES = ((1, "Very bad"), (2, "Bad"), (3, "All right"), (4, "Good"), (5, "Very good"))
_WHY = "customers rate by a secret link from their mail"


@blueprint.get("/rate/<token>")
@public(_WHY)
def rate(token: str) -> ResponseReturnValue:
    """Show the five faces, or the box for a comment once one was clicked."""
    link = csat.find(db.session(), token, now())
    return _page(token, rated=link.used_at is not None)


@blueprint.post("/rate/<token>")
@public(_WHY)
def take_rating(token: str) -> ResponseReturnValue:
    """Take the click on a face."""
    score = request.form.get("score", "")
    try:
        csat.rate(db.session(), token, int(score) if score in {"1", "2", "3", "4", "5"} else 0, now=now())
    except InputError as error:
        return _page(token, problem=error.message), 422
    db.session().commit()
    return redirect(url_for("support.rate", token=token))


@blueprint.post("/rate/<token>/comment")
@public(_WHY)
def take_comment(token: str) -> ResponseReturnValue:
    """Take the comment, and the link with it: it works no more."""
    words = request.form.get("comment", "")
    try:
        csat.comment(db.session(), token, words, now=now())
    except InputError as error:
        return _page(token, rated="comment" in error.fields, problem=error.message, typed=words), 422
    db.session().commit()
    return render_template("support/rated.html")


@blueprint.post("/<int:number>/rating-link")
@require(WORK)
def make_rating_link(number: int) -> ResponseReturnValue:
    """Make a link to paste into a chat, and show it once."""
    if number >= 1 << 63:
        abort(404)
    token = csat.make_link(db.session(), number, who=actor(), now=now())
    db.session().commit()
    base = current_runtime().settings.base_url.rstrip("/")
    link = base + url_for("support.rate", token=token)
    return render_template("support/rating_link.html", number=number, ref=ref(number), link=link)


def _page(token: str, *, rated: bool = False, problem: str = "", typed: str = "") -> str:
    return render_template(
        "support/rate.html", token=token, rated=rated, problem=problem, typed=typed, faces=FACES,
        longest=csat.LONGEST_COMMENT,
    )  # fmt: skip
