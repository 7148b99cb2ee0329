"""Two environments side by side: what would change where one is made as the other."""

from typing import Any

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue

from trackside.errors import Conflict, InputError
from trackside.web.environments import all_environments
from trackside.web.policy import require
from trackside.workspace import Environment
from trackside_modules.flags import shape, words
from trackside_modules.flags.models import State
from trackside_modules.flags.queries.board import standing
from trackside_modules.flags.service.promoting import brought
from trackside_modules.flags.web.base import EDIT, VIEW, Page, blueprint, choice, open_page, state_of
from trackside_modules.flags.web.changing import Trial, failed, posted, save_state


@blueprint.get("/<int:flag_id>/compare")
@require(VIEW)
def compare(flag_id: int) -> ResponseReturnValue:
    """Show what differs between this environment and another, and offer to bring the other's rules here."""
    page = open_page(flag_id)
    return _page(page, _source(page, choice("from", [each.slug for each in all_environments()])))


@blueprint.post("/<int:flag_id>/promote")
@require(EDIT)
def promote(flag_id: int) -> ResponseReturnValue:
    """Make the rules here what they are in another environment; whether the flag is on stays as it is."""
    page, fields = open_page(flag_id), posted("from", "switch", "reason", "version", "theirs")
    source = _source(page, fields.get("from", ""))
    try:
        if source is None:
            raise InputError("Choose another environment to take the rules from.")
        theirs = state_of(page.flag, source.id)
        if fields.get("theirs") != _seal(theirs, page):
            raise Conflict(f"The rules in {source.name} changed meanwhile: look at what would happen now.")
        done = f"{page.flag.key} in {page.env.name} is now as in {source.name}."
        edit = _brought(theirs, page, switch=fields.get("switch") == "on")
        return redirect(save_state(page, edit, fields, done, "promoted"))
    except (InputError, Conflict) as error:
        trial = failed(error, fields, ("reason",))
        return _page(open_page(flag_id), source, trial), trial.status


def _brought(theirs: State, page: Page, *, switch: bool) -> shape.Config:
    """Return what a promotion brings: all rules as they work now, and the switch only where that was asked."""
    left = set() if switch else {"enabled", "schedule"}
    return brought(theirs.config, page.now, [name for name in shape.CONFIG if name not in left])


def _seal(theirs: State, page: Page) -> str:
    """Return what differs when what is brought does: the version, and the steps that it went by itself."""
    return f"{theirs.version}.{sum(at <= page.now for at in shape.times(theirs.config))}"


def _source(page: Page, slug: str) -> Environment | None:
    """Return the environment to take from: the one named, else the first other one."""
    others = [each for each in all_environments() if each.id != page.env.id]
    return next((each for each in others if each.slug == slug), others[0] if others else None)


def _page(page: Page, source: Environment | None, trial: Trial | None = None) -> str:
    trial = trial or Trial()
    switch = (trial.values.get("switch") or request.args.get("switch", "")) == "on"
    parts: dict[str, Any] = {"theirs": "", "moves": False, "said": [], "their_lines": []}
    if source is not None:
        theirs = state_of(page.flag, source.id)
        after = {**page.state.config, **_brought(theirs, page, switch=switch)}
        parts["theirs"] = _seal(theirs, page)
        parts["moves"] = standing(theirs.config, page.now).ramps
        parts["their_lines"] = words.describe(theirs.config, page.now, page.zone)
        parts["said"] = page.said(after) if after != page.state.config else []
    return render_template(
        "flags/compare.html",
        page=page,
        source=source,
        trial=trial,
        switch=switch,
        others=[each for each in all_environments() if each.id != page.env.id],
        **parts,
    )
