"""Which environments demand that a second member approves each change."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import InputError
from trackside.web.current import current_runtime
from trackside.web.environments import all_environments
from trackside.web.policy import require
from trackside_modules.flags import service
from trackside_modules.flags.models import FlagsEnvironment
from trackside_modules.flags.queries.requests import waiting
from trackside_modules.flags.web.base import MANAGE, VIEW, blueprint
from trackside_modules.flags.web.changing import posted


@blueprint.get("/approvals")
@require(VIEW)
def approvals() -> ResponseReturnValue:
    """Show what a change takes in each environment."""
    session = db.session()
    demanding = set(session.scalars(select(FlagsEnvironment.env_id).where(FlagsEnvironment.demands_approval)))
    environments = [(each, each.id in demanding) for each in all_environments()]
    return render_template("flags/approvals.html", environments=environments, waiting=waiting(session))


@blueprint.post("/approvals")
@require(MANAGE)
def approvals_save() -> ResponseReturnValue:
    """Demand approval in an environment, or no more."""
    fields, session = posted("env", "demanded"), db.session()
    env = next((each for each in all_environments() if each.slug == fields.get("env")), None)
    if env is None or fields.get("demanded") not in {"on", "off"}:
        raise InputError("Choose an environment, and whether it demands approval.")
    demanded = fields["demanded"] == "on"
    service.demand_approval(session, env.id, demanded=demanded, who=actor(), now=current_runtime().clock.now())
    session.commit()
    flash(f"Changes in {env.name} take {'a second member' if demanded else 'nobody else'}.", "success")
    return redirect(url_for("flags.approvals"))
