"""A new flag, from one of four templates or plain."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.web.current import current_runtime
from trackside.web.look import zone
from trackside.web.policy import require
from trackside_modules.flags import forms, service
from trackside_modules.flags.web.base import EDIT, KINDS, blueprint, choice
from trackside_modules.flags.web.changing import Trial, failed, posted

KEPT = ("template", "key", "name", "description", "tags", "type", "reason", "do")


@blueprint.get("/new")
@require(EDIT)
def new() -> ResponseReturnValue:
    """Offer the templates, then the form of the one that was chosen."""
    chosen = choice("template", service.TEMPLATES)
    typed = {"template": chosen, **_begun(chosen)} if chosen else {}
    return _page(Trial(typed), chosen)


@blueprint.post("/new")
@require(EDIT)
def create() -> ResponseReturnValue:
    """Make the flag, off in every environment unless its template says otherwise."""
    fields = posted()
    chosen = fields.get("template", "") if fields.get("template") in service.TEMPLATES else "release"
    if fields.get("do") == "add":
        fields |= {f"variant-{max([*forms.variant_rows(fields), -1]) + 1}-{part}": "" for part in ("name", "value")}
        return _page(Trial(fields), chosen)
    session = db.session()
    try:
        flag = service.create(
            session,
            fields.get("key", "").strip(),
            who=actor(),
            now=current_runtime().clock.now(),
            template=chosen,
            reason=fields.get("reason", ""),
            **_given(fields, chosen),
        )
        session.commit()
    except (InputError, Conflict) as error:
        trial = failed(error, fields, (*fields, "variants"))
        if isinstance(error, Conflict):
            trial.problems, trial.message = {"key": error.message}, ""
        return _page(trial, chosen), trial.status
    flash(f"{flag.key} is made. Programs can ask for it from now on.", "success")
    return redirect(url_for("flags.show", flag_id=flag.id, env=request.args.get("env")))


def _given(fields: dict[str, str], chosen: str) -> dict[str, Any]:
    """Return what goes before the template; raises InputError by field."""
    values = forms.values_of({**fields, "kind": "release"}, zone())
    given = {name: values[name] for name in ("description", "tags")}
    given |= {"name": values["name"].strip() or fields.get("key", "").strip(), "owner_id": current_user.id}
    type_ = fields.get("type") or service.TEMPLATES[chosen].type
    variants = forms.variants_of(fields, type_, forms.variant_rows(fields))
    return given | {"type": type_} | ({"variants": variants} if variants else {})


def _begun(chosen: str) -> dict[str, str]:
    model = service.TEMPLATES[chosen]
    return {"type": model.type} | forms.variants_typed(model.variants, model.type)


def _page(trial: Trial, chosen: str) -> str:
    return render_template(
        "flags/new.html",
        trial=trial,
        typed=trial.values,
        chosen=chosen,
        templates=service.TEMPLATES.values(),
        types=forms.types(),
        rows=forms.variant_rows(trial.values),
        kinds=KINDS,
    )
