"""Who else looks at a thread, and writes in it: each open page says so every ten seconds and hears of the others."""

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.db import db
from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside_modules.support import presence
from trackside_modules.support.queries.naming import members
from trackside_modules.support.web.base import VIEW, blueprint, open_interaction, posted

MOST = 3


@blueprint.post("/<int:number>/here")
@require(VIEW)
def here(number: int) -> ResponseReturnValue:
    """Note that the signed-in member has the thread open; answer who else has, in a line."""
    writing = posted("writing").get("writing") == "yes"
    it, runtime = open_interaction(number), current_runtime()
    others = presence.note(runtime.redis.live, runtime.clock, it.id, current_user.id, writing=writing)
    names = members(db.session(), [each.member_id for each in others])
    shown = [(names[each.member_id], each.writing) for each in others if each.member_id in names]
    return render_template("support/_here.html", shown=shown[:MOST], more=max(0, len(shown) - MOST))
