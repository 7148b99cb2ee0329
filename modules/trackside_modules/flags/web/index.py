"""The list of flags."""

from datetime import UTC

from flask import render_template
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import require
from trackside_modules.flags import shape
from trackside_modules.flags.exposures import queries as exposures
from trackside_modules.flags.queries.board import PAGE, SORTS, STATES, Wanted, board
from trackside_modules.flags.web.base import KINDS, VIEW, blueprint, choice, number, text


@blueprint.get("/")
@require(VIEW)
def index() -> ResponseReturnValue:
    """List the flags that match."""
    runtime, env = current_runtime(), current_environment()
    wanted = Wanted(
        q=text("q"),
        kind=choice("kind", shape.KINDS),
        tag=text("tag"),
        owner=number("owner", 2**62),
        state=choice("state", STATES),
        sort=choice("sort", [sign + name for name in SORTS for sign in ("", "-")], "key"),
        offset=number("cursor", 100_000) or 0,
    )
    session, now = db.session(), runtime.clock.now()
    found = board(session, env.id, wanted, now)
    ids = [line.row.flag.id for line in found.rows]
    following = wanted.offset + PAGE
    return render_template(
        "flags/index.html",
        env=env,
        wanted=wanted,
        found=found,
        kinds=KINDS,
        sparks=exposures.sparklines(session, env.id, ids, now.astimezone(UTC).date()),
        last=exposures.last_evaluated(session, env.id, ids),
        filtered=bool(wanted.q or wanted.kind or wanted.tag or wanted.owner or wanted.state),
        next=following if following < found.total else None,
    )
