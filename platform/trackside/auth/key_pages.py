"""API keys: the list, making one, rotating, revoking."""

from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.auth import keys, login
from trackside.auth.forms import KeyForm, choices, show_error
from trackside.auth.models import ApiKey, Member
from trackside.auth.principal import KINDS
from trackside.db import db
from trackside.errors import InputError, NotAllowed
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.environments import all_environments, current_environment
from trackside.web.policy import require
from trackside.workspace import Environment, environment_by_slug

blueprint = Blueprint("keys", __name__, url_prefix="/keys")
USES = {
    "server": "your backend: evaluate flags, load rulesets, send usage",
    "ingest": "a collector: send usage, nothing else",
    "client": "browsers and apps, public: evaluate flags, nothing else",
    "admin": "scripts: the management API, as far as its scopes go",
}
CURL = {
    "server": "curl {base}/v1/events \\\n  -H 'Authorization: Bearer {key}' \\\n"
    "  -H 'Content-Type: application/json' \\\n"
    '  -d \'{{"events": [{{"ts": {now}, "method": "GET", "route": "/hello", "status": 200, "duration_ms": 12}}]}}\'',
    "client": "curl -X POST {base}/ofrep/v1/evaluate/flags \\\n  -H 'Authorization: Bearer {key}' \\\n"
    '  -H \'Content-Type: application/json\' -d \'{{"context": {{"targetingKey": "user-1"}}}}\'',
    "admin": "curl {base}/api/v1/openapi.json \\\n  -H 'Authorization: Bearer {key}'",
}
CURL["ingest"] = CURL["server"]


@blueprint.get("")
@require("keys.view")
def index() -> ResponseReturnValue:
    """List the environment's keys."""
    env, now = current_environment(), current_runtime().clock.now()
    ended = request.args.get("show") == "all"
    rows = keys.keys_of(db.session(), env.id, now, ended=ended)
    live = {key.id for key in rows if keys.is_live(key, now)}
    return render_template(
        "auth/keys.html",
        env=env,
        keys=rows,
        live=live,
        replaced={key.replaces_id for key in rows if key.id in live and key.replaces_id},
        makers={each.id: each for each in db.session().query(Member)},
        shown=keys.shown,
        ended=ended,
        may_change=_may_change,
    )


@blueprint.get("/new")
@require("keys.manage")
def new() -> ResponseReturnValue:
    """Ask what the key is for."""
    return _form_page(_form(env=current_environment().slug))


@blueprint.post("/new")
@require("keys.manage")
def create() -> ResponseReturnValue:
    """Make a key and show it: on this page and never again."""
    form, now = _form(), current_runtime().clock.now()
    if not form.validate_on_submit():
        return _form_page(form), 422
    if not _may_change(form.kind.data):
        raise NotAllowed("Only owners and admins make admin keys.")
    env = environment_by_slug(db.session(), form.env.data)
    try:
        key, text = keys.create_key(
            db.session(),
            login.actor(),
            now,
            env,
            kind=form.kind.data,
            name=form.name.data or "",
            scopes=form.scopes.data or (),
            known_scopes=_scopes(),
            expires_at=now + timedelta(days=int(form.expires.data)) if form.expires.data else None,
            apitally=form.apitally.data,
        )
    except InputError as error:
        show_error(form, error)
        return _form_page(form), 422
    db.session.commit()
    return _made(env, key, text)


@blueprint.post("/<int:key_id>/rotate")
@require("keys.manage")
def rotate(key_id: int) -> ResponseReturnValue:
    """Make a key that takes another's place, and show it, this once."""
    env, old = _key(key_id)
    hours = request.form.get("overlap", "24")
    if not hours.isascii() or not hours.isdigit() or len(hours) > 4:
        raise InputError("Choose how long the old key goes on working.", {"overlap": "Choose from the list."})
    now = current_runtime().clock.now()
    key, text = keys.rotate(db.session(), login.actor(), now, env, old, overlap=timedelta(hours=int(hours)))
    db.session.commit()
    return _made(env, key, text, old)


@blueprint.post("/<int:key_id>/expire")
@require("keys.manage")
def expire(key_id: int) -> ResponseReturnValue:
    """Let a key end after some days, or never."""
    env, key = _key(key_id)
    asked, now = request.form.get("days", ""), current_runtime().clock.now()
    days = whole_number(asked, digits=4)
    if asked and not (days and days <= 3650):
        raise InputError("Choose 1 to 3650 days, or none.", {"days": "Choose 1 to 3650 days, or none."})
    keys.expire(db.session(), login.actor(), now, key, now + timedelta(days=days) if days else None)
    db.session.commit()
    flash(f"{key.name} {f'ends in {days} days' if days else 'never expires'}.", "success")
    return redirect(url_for("keys.index", env=env.slug))


@blueprint.post("/<int:key_id>/revoke")
@require("keys.manage")
def revoke(key_id: int) -> ResponseReturnValue:
    """End a key."""
    env, key = _key(key_id)
    keys.revoke(db.session(), login.actor(), current_runtime().clock.now(), key)
    db.session.commit()
    flash(f"{key.name} is revoked: it is refused everywhere within 10 seconds.", "success")
    return redirect(url_for("keys.index", env=env.slug))


def _key(key_id: int) -> tuple[Environment, ApiKey]:
    """Return a key of this page's environment; raises NotFound, and NotAllowed where its kind takes more."""
    env = current_environment()
    key = keys.key_by_id(db.session(), env.id, key_id)
    if not _may_change(key.kind):
        raise NotAllowed("Only owners and admins change admin keys.")
    return env, key


def _may_change(kind: str) -> bool:
    return bool(current_user.can("keys.admin" if kind == "admin" else "keys.manage"))


def _scopes() -> dict[str, str]:
    return {name: what for module in current_runtime().registry.modules for name, what in module.scopes.items()}


def _form(**given: str) -> KeyForm:
    form = KeyForm(**given)
    form.env.choices = choices((env.slug, env.name) for env in all_environments())
    form.kind.choices = choices((kind, f"{kind}: {USES[kind]}") for kind in KINDS if _may_change(kind))
    form.scopes.choices = choices((name, f"{name}: {what}") for name, what in sorted(_scopes().items()))
    return form


def _form_page(form: KeyForm) -> str:
    return render_template("auth/key_new.html", form=form, may_admin=_may_change("admin") and _scopes())


def _made(env: Environment, key: ApiKey, text: str, old: ApiKey | None = None) -> str:
    base, now = current_runtime().settings.base_url.rstrip("/"), int(current_runtime().clock.now().timestamp() * 1000)
    curl = CURL[key.kind].format(base=base, key=text, now=now)
    return render_template("auth/key_made.html", env=env, key=key, text=text, curl=curl, old=old)
