"""Sources: what each service sends, by which SDK, what is missing from it, and how to send at all."""

from datetime import timedelta

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside_modules.usage import queries
from trackside_modules.usage.folding.warnings import sentence
from trackside_modules.usage.reports import advice, senders
from trackside_modules.usage.web.asked import ask_filters, choice, text
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.places import asked_place, cursor

_PAGE = 50
_WARNED = timedelta(days=7)
SHOWN = {"": "All", "mend": "To mend", "quiet": "Quiet"}


@blueprint.get("/sources")
@require("usage.view")
def sources() -> ResponseReturnValue:
    """List the services that send, and what to mend in what they send."""
    session, asked, now = db.session(), ask_filters(), current_runtime().clock.now()
    q, show = text("q"), choice("show", tuple(SHOWN), "")
    every = [(it, advice.advise(it)) for it in senders.senders(session, asked.env.id, q=q)]
    to_mend = [row for row in every if any(each.kind == "warn" for each in row[1])]
    quiet = [row for row in every if row[0].quiet(now)]
    chosen = {"": every, "mend": to_mend, "quiet": quiet}[show]
    place = asked_place(1)
    start = min(place[0], len(chosen)) if place else 0
    noticed = queries.warnings(session, asked.env.id, now - _WARNED)
    return render_template(
        "usage/sources.html",
        asked=asked,
        env=asked.env,
        rows=chosen[start : start + _PAGE],
        counts={"": len(every), "mend": len(to_mend), "quiet": len(quiet)},
        first=start,
        cursor=cursor((start + _PAGE,)) if start + _PAGE < len(chosen) else None,
        previous=cursor((max(0, start - _PAGE),)) if start else None,
        q=q,
        show=show,
        shown=SHOWN,
        now=now,
        warnings=[(it, sentence(it.kind, it.about)) for it in noticed],
    )


@blueprint.get("/sources/service")
@require("usage.view")
def source() -> ResponseReturnValue:
    """Show what one service sends, and how to mend what is missing."""
    session, asked, now = db.session(), ask_filters(), current_runtime().clock.now()
    name = request.args.get("name", "")
    if not name or len(name) > 200 or "\x00" in name:
        raise InputError("Say which service: follow a link of the page Sources.", {"name": "is needed"})
    found = senders.senders(session, asked.env.id, name=name)
    if not found:
        raise NotFound(f"No service called {name!r} ever sent anything to {asked.env.name}.")
    routes, total = senders.never_called(session, asked.env.id, name)
    return render_template(
        "usage/source.html",
        asked=asked,
        env=asked.env,
        it=found[0],
        advice=advice.advise(found[0]),
        never=routes,
        never_total=total,
        now=now,
        ahead=advice.AHEAD,
        behind=-advice.BEHIND,
        back=("Sources", url_for("usage.sources", env=asked.env.slug)),
    )


@blueprint.get("/sources/new")
@require("usage.view")
def new_source() -> ResponseReturnValue:
    """Say how to send, by each way there is."""
    asked = ask_filters()
    back = ("Sources", url_for("usage.sources", env=asked.env.slug))
    return render_template("usage/source_new.html", asked=asked, env=asked.env, back=back)
