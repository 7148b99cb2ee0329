"""The rules of a flag in an environment: one form, which works without script; htmx makes its buttons quicker."""

from typing import Any

from flask import redirect, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.text import whole_number
from trackside.web.policy import require
from trackside_client.flags.operators import OPERATORS
from trackside_modules.flags import checking, drafts, ruleset, shape, words
from trackside_modules.flags.drafts import Draft
from trackside_modules.flags.models import Change, Flag
from trackside_modules.flags.web.base import EDIT, VIEW, Page, blueprint, open_page
from trackside_modules.flags.web.changing import Trial, failed, posted, reason_in, save_state

MOST_SUGGESTED = 500


@blueprint.get("/<int:flag_id>/targeting")
@require(VIEW)
def targeting(flag_id: int) -> ResponseReturnValue:
    """Show the rules, to be edited by who may."""
    page = open_page(flag_id)
    return _page(page, drafts.of(page.state.config, page.flag.variants, page.now, page.zone))


@blueprint.post("/<int:flag_id>/targeting")
@require(EDIT)
def targeting_save(flag_id: int) -> ResponseReturnValue:
    """Save the rules; or change the form, or say what it would do, where another button was pressed."""
    page, fields = open_page(flag_id), posted()
    try:
        draft = drafts.read(fields)
    except InputError as error:
        return _page(
            page, drafts.of(page.state.config, page.flag.variants, page.now, page.zone), failed(error, fields)
        ), 422
    do = fields.get("do", "preview")
    if do != "save":
        draft = drafts.act(draft, do, list(page.flag.variants))
        return _page(page, draft, _tried(page, draft, fields, silent=do not in {"preview", ""}))
    try:
        config = drafts.build(draft, page.state.config, page.flag.variants, page.now, page.zone)
        reason_in(fields)
        _check(page, config)
        done = f"{page.flag.key} changed in {page.env.name}."
        return redirect(save_state(page, _parts(config), fields, done))
    except (InputError, Conflict) as error:
        trial = failed(error, fields)
        page = open_page(flag_id)
        again = _tried(page, draft, fields, silent=False)
        again.message, again.status, again.stale = trial.message, trial.status, trial.stale
        again.problems |= {drafts.place(path): what for path, what in trial.problems.items()}
        return _page(page, draft, again), trial.status


def _parts(config: shape.Config) -> dict[str, Any]:
    return {name: config[name] for name in shape.CONFIG if name != "enabled"}


def _tried(page: Page, draft: Draft, fields: dict[str, str], *, silent: bool) -> Trial:
    """Return what a draft would do; `silent` says nothing of what is not typed yet."""
    trial = Trial(fields)
    try:
        config = drafts.build(draft, page.state.config, page.flag.variants, page.now, page.zone)
        _check(page, config)
        trial.preview = page.said(config)
    except InputError as error:
        if not silent:
            trial.problems = {drafts.place(path): what for path, what in error.fields.items()}
            trial.message = "" if error.fields else error.message
    return trial


def _check(page: Page, config: shape.Config) -> None:
    """Ask the engine what it makes of a config; raises InputError with every problem by field."""
    session, key = db.session(), page.flag.key
    flags = ruleset.flags(session, page.env.id) if config["prerequisites"] else {}
    flags[key] = shape.compose(ruleset.definition(page.flag), config)
    found = checking.problems_of(key, flags, ruleset.segments(session, page.env.id))
    if found:
        problems = {drafts.place(path): _sentence(what) for path, what in reversed(found.items())}
        raise InputError("Some of this is not right yet.", problems)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") + "."


def _page(page: Page, draft: Draft, trial: Trial | None = None) -> str:
    trial = trial or Trial()
    return render_template(
        "flags/targeting.html",
        page=page,
        draft=draft,
        trial=trial,
        version=page.state.version if trial.stale or "version" not in trial.values else trial.values["version"],
        theirs=_theirs(page, trial) if trial.stale else [],
        operators=_operators(),
        steady=_steady(page),
        **_suggestions(page),
    )


def _theirs(page: Page, trial: Trial) -> list[Change]:
    """Return what others changed since the version that the form was based on, the newest first."""
    since = whole_number(trial.values.get("version", "")) or 0
    query = select(Change).where(
        Change.flag_id == page.flag.id,
        Change.env_id == page.env.id,
        Change.version > since,
    )
    return list(db.session().scalars(query.order_by(Change.id.desc()).limit(5)))


def _steady(page: Page) -> dict[str, words.Line]:
    """Return the ramps under way by the key of their line: a changed share would stop them."""
    return {line.key: line for line in page.lines if line.key.endswith(" ramp")}


def _operators() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every way to compare as (group, [(value, words)])."""
    groups = {"scalar": "Values", "text": "Text", "pattern": "Text", "none": "Values", "number": "Numbers"}
    groups |= {"moment": "Dates", "version": "Versions", "network": "Addresses", "segment": "Segments"}
    found: dict[str, list[tuple[str, str]]] = {}
    for name, each in OPERATORS.items():
        if name in {"equals", "segment"}:
            continue
        title = groups[each.kind]
        found.setdefault(title, []).extend([(name, each.words), (f"!{name}", each.unlike)])
    return list(found.items())


def _suggestions(page: Page) -> dict[str, Any]:
    session = db.session()
    keys = session.scalars(
        select(Flag.key)
        .where(Flag.archived_at.is_(None), Flag.id != page.flag.id)
        .order_by(Flag.key)
        .limit(MOST_SUGGESTED)
    )
    return {"other_flags": list(keys), "attributes": ["user", "account", "plan", "country", "email", "version"]}
