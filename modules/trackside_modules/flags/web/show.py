"""A flag's first page: how it stands, the switch, the rollout, what came of it, and whether it has had its day."""

from dataclasses import dataclass
from datetime import timedelta

from flask import redirect, render_template
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.environments import all_environments
from trackside.web.policy import require
from trackside.workspace import Environment
from trackside_modules.flags import drafts, shape, words
from trackside_modules.flags.models import Change, State
from trackside_modules.flags.queries import history as told
from trackside_modules.flags.queries import listing, requests, staleness
from trackside_modules.flags.queries.board import Standing, standing
from trackside_modules.flags.service import edits, states
from trackside_modules.flags.service.states import Edit
from trackside_modules.flags.web.base import EDIT, VIEW, Page, blueprint, open_page
from trackside_modules.flags.web.changing import Trial, failed, posted, reason_in, save_state
from trackside_modules.flags.web.exposed import exposed

UNITS = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1), "days": timedelta(days=1)}
MOST_UNITS = 1000


@dataclass(frozen=True, slots=True)
class Side:
    """A flag in one environment, beside the others."""

    env: Environment
    state: State
    standing: Standing
    line: words.Line
    here: bool


@blueprint.get("/<int:flag_id>")
@require(VIEW)
def show(flag_id: int) -> ResponseReturnValue:
    """Show how a flag stands in the environment."""
    return _page(open_page(flag_id))


@blueprint.post("/<int:flag_id>/switch")
@require(EDIT)
def switch(flag_id: int) -> ResponseReturnValue:
    """Switch it on or off."""
    page, fields = open_page(flag_id), posted("on", "reason", "version")
    on = fields.get("on") == "on"
    done = f"{page.flag.key} is {'on' if on else 'off'} in {page.env.name}."
    try:
        return redirect(save_state(page, edits.switch(on=on), fields, done))
    except (InputError, Conflict) as error:
        return _again(flag_id, error, fields)


@blueprint.post("/<int:flag_id>/rollout")
@require(EDIT)
def rollout(flag_id: int) -> ResponseReturnValue:
    """Take in more or fewer of everyone else: at once, or by steps; or say first what that would do."""
    page = open_page(flag_id)
    fields = posted("do", "share", "how", "steps", "every", "unit", "reason", "version")
    try:
        edit = _edit(page, fields)
        if fields.get("do") != "save":
            after = states.edited(page.state.config, edit)
            return _page(page, Trial(fields, preview=page.said(after) if after != page.state.config else []))
        reason_in(fields)
        return redirect(save_state(page, edit, fields, f"{page.flag.key} changed in {page.env.name}."))
    except (InputError, Conflict) as error:
        return _again(flag_id, error, fields)


def _edit(page: Page, fields: dict[str, str]) -> Edit:
    """Return what the rollout's form asks for; raises InputError by field."""
    builder = drafts.Builder(page.state.config, page.flag.variants, page.now, page.zone)
    share = builder.share("share", fields.get("share", ""))
    steps, every = (whole_number(fields.get(name, "").strip(), digits=8) or 0 for name in ("steps", "every"))
    ramps = fields.get("how") == "ramp"
    if ramps and not 1 <= steps <= edits.MOST_STEPS:
        builder.refuse("steps", f"Type a number from 1 to {edits.MOST_STEPS}.")
    if ramps and (not 1 <= every <= MOST_UNITS or fields.get("unit") not in UNITS):
        builder.refuse("every", f"Type a number from 1 to {MOST_UNITS:,}, and choose its unit.")
    if builder.problems:
        raise InputError("Some of this is not right yet.", builder.problems)
    if not ramps:
        return edits.rollout(share)
    return edits.even_ramp(share, steps, UNITS[fields["unit"]] * every, now=page.now)


def _again(flag_id: int, error: InputError | Conflict, fields: dict[str, str]) -> ResponseReturnValue:
    trial = failed(error, fields, ("share", "steps", "every", "reason"))
    return _page(open_page(flag_id), trial), trial.status


def _page(page: Page, trial: Trial | None = None) -> str:
    session = db.session()
    row = listing.rows(session, [page.flag])[0]
    last: list[Change] = told.changes(session, page.flag, [page.env.id], limit=4)
    return render_template(
        "flags/show.html",
        page=page,
        trial=trial or Trial(),
        owner=row.owner,
        sides=_sides(page, row),
        stale=staleness.evidence(session, [row], now=page.now)[page.flag.id],
        last=last,
        exposed=exposed(page),
        base_url=current_runtime().settings.base_url,
        waiting=requests.listed(session, status=("open", "approved"), flag_id=page.flag.id, limit=5),
        share=drafts.number_text(shape.rollout_at(page.state.config["serve"], page.now) / 1000),
    )


def _sides(page: Page, row: listing.Row) -> list[Side]:
    """Return the flag in each environment, the one at hand first."""
    found = []
    for env in all_environments():
        state = row.states.get(env.id)
        if state is not None:
            lines = words.describe(state.config, page.now, page.zone)
            line = next(each for each in lines if each.key == "serve")
            found.append(Side(env, state, standing(state.config, page.now), line, env.id == page.env.id))
    return sorted(found, key=lambda each: not each.here)
