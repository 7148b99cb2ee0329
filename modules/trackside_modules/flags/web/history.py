"""A flag's history: each change in words, with what exactly differs, and the way back."""

from dataclasses import dataclass
from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.web.policy import require
from trackside_modules.flags import service, shape, words
from trackside_modules.flags.models import Change
from trackside_modules.flags.queries import history as told
from trackside_modules.flags.web.base import EDIT, VIEW, Page, blueprint, number, open_page
from trackside_modules.flags.web.changing import Trial, failed, posted, reason_in, save_state, version_in

VERBS = {
    "created": "made it",
    "edited": "changed it",
    "reverted": "went back",
    "promoted": "promoted it",
    "applied": "applied a file",
    "imported": "imported it",
    "archived": "archived it",
    "restored": "restored it",
    "step": "a step of its ramp or schedule",
}
PAGE = 30
_FIELDS = {"owner_id": "owner", "expected_end": "expected end", "facts": "metadata"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A change as the page shows it."""

    change: Change
    verb: str
    said: list[words.Said]
    raw: list[dict[str, Any]]
    back: int | None
    """The version that was before it, where one can go back to that."""


@blueprint.get("/<int:flag_id>/history")
@require(VIEW)
def history(flag_id: int) -> ResponseReturnValue:
    """Show what changed."""
    return _page(open_page(flag_id))


@blueprint.post("/<int:flag_id>/revert")
@require(EDIT)
def revert(flag_id: int) -> ResponseReturnValue:
    """Go back to a version of the rules, or of the flag itself."""
    page, fields = open_page(flag_id), posted("to", "of", "version", "reason")
    try:
        to, session = version_in(fields, "to"), db.session()
        done = f"{page.flag.key} is as it was at version {to}."
        if fields.get("of") == "flag":
            how: dict[str, Any] = {"who": actor(), "now": page.now, "reason": reason_in(fields)}
            service.revert(session, None, page.flag.key, to, **how, if_version=version_in(fields))
            session.commit()
            flash(done, "success")
            return redirect(url_for("flags.history", flag_id=flag_id))
        config = service.at_version(session, page.flag, page.env.id, to)
        return redirect(save_state(page, config, fields, done, "reverted"))
    except (InputError, Conflict) as error:
        trial = failed(error, fields, ())
        return _page(open_page(flag_id), trial), trial.status


def _page(page: Page, trial: Trial | None = None) -> str:
    before = number("cursor", 2**62)
    found = told.changes(db.session(), page.flag, [page.env.id], before=before, limit=PAGE + 1)
    return render_template(
        "flags/history.html",
        page=page,
        entries=[entry(page, each) for each in found[:PAGE]],
        next=found[PAGE - 1].id if len(found) > PAGE else None,
        trial=trial or Trial(),
    )


def entry(page: Page, change: Change) -> Entry:
    """Return a change in words."""
    raw = list(shape.diff(change.before or {}, change.after or {})) if change.before is not None else []
    now = page.state.version if change.env_id else page.flag.version
    back = change.version - 1 if change.before is not None and change.what != "step" and change.version > 1 else None
    return Entry(
        change, VERBS.get(change.what, change.what), _said(page, change), raw, back if now >= change.version else None
    )


def _said(page: Page, change: Change) -> list[words.Said]:
    before, after = change.before, change.after
    if change.env_id is None:
        return said_of_flag(before, after)
    full = after if after is not None and all(name in after for name in shape.CONFIG) else None
    if full is None and before is not None and after is not None:
        base = {**page.state.config, **before}
        return words.changes(base, {**base, **after}, change.at, page.zone)
    if full is None:
        return []
    if before is None:
        return [words.Said("new", line.text) for line in words.describe(full, change.at, page.zone)]
    return words.changes({**full, **before}, full, change.at, page.zone)


def said_of_flag(before: Any, after: Any) -> list[words.Said]:
    """Return what a change of the flag itself did, field by field."""
    if before is None:
        return []
    said = []
    for name, value in (after or {}).items():
        title = _FIELDS.get(name, name)
        if name == "archived_at":
            continue
        old, new = (
            ", ".join(map(str, each)) if isinstance(each, list | dict) else each for each in (before.get(name), value)
        )
        text = f"The {title} is {new if new not in (None, '') else 'nothing'}"
        said.append(words.Said("changed", f"{text}, before {old if old not in (None, '') else 'nothing'}."))
    return said
