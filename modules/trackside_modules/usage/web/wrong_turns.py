"""Wrong turns: who calls what does not exist or is refused, and what support can tell them."""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue

from trackside.customers.models import User
from trackside.db import db
from trackside.web.policy import require
from trackside_modules.usage import queries
from trackside_modules.usage.reports import wrong_turns
from trackside_modules.usage.reports.hints import SORTS
from trackside_modules.usage.reports.wrong_turns import ORDERS, Turns, Wanted
from trackside_modules.usage.web import export
from trackside_modules.usage.web.asked import Asked, ask_filters, choice, text
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.places import asked_place, cursor

TURNS: export.Columns[Turns] = (
    ("id", lambda it: it.who.external_id if it.who else None),
    ("name", lambda it: it.who.name if it.who else None),
    ("account", lambda it: it.who.account.label if isinstance(it.who, User) and it.who.account else None),
    ("requests", lambda it: it.calls),
    *((sort, lambda it, sort=sort: getattr(it.counts, sort)) for sort in SORTS),
    ("first", lambda it: it.first),
    ("last", lambda it: it.last),
    ("tried", lambda it: "; ".join(f"{each.method} {each.path}" for each in it.tried)),
    ("hint", lambda it: it.hint),
)


@blueprint.get("/wrong-turns")
@require("usage.view")
def wrong_turns_page() -> ResponseReturnValue:
    """Show who took wrong turns, the newest first."""
    session, asked = db.session(), ask_filters(default="24h")
    wanted, kind = _wanted(asked), export.asked()
    if kind:
        found = wrong_turns.page(session, wanted, limit=export.MOST)
        return export.send("wrong-turns", kind, TURNS, found.rows)
    after: Any = asked_place(3)
    found = wrong_turns.page(session, wanted, after)
    return render_template(
        "usage/wrong_turns.html",
        asked=asked,
        env=asked.env,
        wanted=wanted,
        found=found,
        sorts=SORTS,
        cursor=cursor(found.next),
        has_usage=bool(asked.services) or queries.has_usage(session, asked.env.id),
        narrowed=bool(wanted.service or wanted.sort or wanted.q),
    )


def _wanted(asked: Asked) -> Wanted:
    sort: Any = choice("kind", ("", *SORTS), "") or None
    by: Any = choice("by", ("user", "account"), "user")
    return Wanted(
        asked.env.id,
        asked.span.start,
        asked.span.until,
        asked.service,
        sort,
        by,
        text("q"),
        choice("sort", ORDERS, "-seen"),
    )
