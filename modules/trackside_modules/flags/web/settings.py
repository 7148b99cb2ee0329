"""A flag itself: its name, owner, tags, variants; and its end, the archive."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from trackside.auth.login import actor
from trackside.auth.models import Member
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.web.policy import require
from trackside_modules.flags import forms, service
from trackside_modules.flags.service import requests
from trackside_modules.flags.service.work import ApprovalNeeded
from trackside_modules.flags.web.base import EDIT, KINDS, VIEW, Page, blueprint, open_page
from trackside_modules.flags.web.changing import Trial, failed, posted, reason_in, version_in


@blueprint.get("/<int:flag_id>/settings")
@require(VIEW)
def settings(flag_id: int) -> ResponseReturnValue:
    """Show what a flag is in all environments."""
    page = open_page(flag_id)
    return _page(page, Trial(forms.typed_of(page.flag, page.zone)))


@blueprint.post("/<int:flag_id>/settings")
@require(EDIT)
def settings_save(flag_id: int) -> ResponseReturnValue:
    """Save what was edited, unless someone else did meanwhile; or propose it, where a second member must agree."""
    page, fields = open_page(flag_id), posted()
    if fields.get("do") == "add":
        rows = forms.variant_rows(fields)
        fields |= {f"variant-{max([*rows, -1]) + 1}-{part}": "" for part in ("name", "value")}
        return _page(page, Trial(fields))
    try:
        values = _changed(page, fields)
        how: dict[str, Any] = {"who": actor(), "now": page.now, "reason": reason_in(fields)}
        return redirect(_save(page, values, how | {"if_version": version_in(fields)}))
    except (InputError, Conflict) as error:
        trial = failed(error, fields, (*fields, "variants", "reason"))
        return _page(open_page(flag_id), trial), trial.status


@blueprint.post("/<int:flag_id>/archive")
@require(EDIT)
def archive(flag_id: int) -> ResponseReturnValue:
    """Take it out of every ruleset."""
    return _end(flag_id, "archive")


@blueprint.post("/<int:flag_id>/restore")
@require(EDIT)
def restore(flag_id: int) -> ResponseReturnValue:
    """Put it back, off everywhere."""
    return _end(flag_id, "restore")


def _changed(page: Page, fields: dict[str, str]) -> dict[str, Any]:
    """Return what differs from the flag as it is; raises InputError by field."""
    flag = page.flag
    values = forms.values_of(fields, page.zone)
    values["variants"] = forms.variants_of(fields, flag.type, forms.variant_rows(fields)) or flag.variants
    if forms.typed_of(flag, page.zone)["expected_end"] == fields.get("expected_end", ""):
        values["expected_end"] = flag.expected_end
    values["name"] = values["name"].strip() or flag.key
    return {name: value for name, value in values.items() if value != getattr(flag, name)}


def _save(page: Page, values: dict[str, Any], how: dict[str, Any]) -> str:
    session = db.session()
    if not values:
        flash("Nothing was changed.", "message")
        return url_for("flags.settings", flag_id=page.flag.id)
    try:
        service.edit(session, page.flag.key, values, **how)
    except ApprovalNeeded:
        row = requests.propose_definition(session, page.flag.key, values, **how)
        session.commit()
        flash("Proposed: another member has to approve changes of variants.", "success")
        return url_for("flags.request_show", request_id=row.id)
    session.commit()
    flash(f"{page.flag.key} is changed.", "success")
    return url_for("flags.settings", flag_id=page.flag.id)


def _end(flag_id: int, verb: str) -> ResponseReturnValue:
    page, fields, session = open_page(flag_id), posted("reason", "version"), db.session()
    try:
        how: dict[str, Any] = {"who": actor(), "now": page.now, "reason": reason_in(fields)}
        act = service.archive if verb == "archive" else service.restore
        act(session, page.flag.key, **how, if_version=version_in(fields))
        session.commit()
    except (InputError, Conflict) as error:
        trial = failed(error, fields, ())
        page = open_page(flag_id)
        trial.values, trial.problems = forms.typed_of(page.flag, page.zone), {}
        return _page(page, trial), trial.status
    flash(f"{page.flag.key} is {verb}d.", "success")
    return redirect(url_for("flags.index") if verb == "archive" else url_for("flags.show", flag_id=flag_id))


def _page(page: Page, trial: Trial) -> str:
    members = db.session().scalars(select(Member).where(Member.disabled_at.is_(None)).order_by(Member.name))
    owners = [("", "Nobody")] + [(str(each.id), each.name or each.email) for each in members]
    return render_template(
        "flags/settings.html",
        page=page,
        trial=trial,
        typed=trial.values,
        owners=owners,
        kinds=list(KINDS.items()),
        rows=forms.variant_rows(trial.values),
        needed_by=service.dependents(db.session(), page.flag.key),
    )
