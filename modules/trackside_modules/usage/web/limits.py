"""The pages of rate limits: who is how near, which limits there are, who crossed a level of theirs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import require
from trackside_modules.usage.models.quota import UsageQuota
from trackside_modules.usage.quota import queries, service
from trackside_modules.usage.quota.rules import LEVELS, limit_words
from trackside_modules.usage.quota.standing import PAGE, Wanted, standings
from trackside_modules.usage.web.asked import ask_filters, choice, number, text
from trackside_modules.usage.web.base import blueprint
from trackside_modules.usage.web.limit_form import NEW, OWN, LimitForm, NewLimitForm, filled, show_errors, values_of

VIEW, EDIT = "usage.view", "usage.limits.edit"
LATELY = 8
MOST_OFFSET = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@blueprint.get("/limits")
@require(VIEW)
def limits() -> ResponseReturnValue:
    """Show who is how near to their limit, the nearest first."""
    runtime, session, env = current_runtime(), db.session(), current_environment()
    rows = queries.listed(session, env.id)
    policies = sorted({each.quota.policy for each in rows})
    wanted = Wanted(
        policy=choice("policy", ["", *policies], ""),
        q=text("q"),
        near=choice("near", ("", "on"), "") == "on",
        offset=min(number("cursor") or 0, MOST_OFFSET),
    )
    found = standings(runtime, session, env.id, rows, wanted)
    following = wanted.offset + PAGE
    return render_template(
        "usage/limits.html",
        asked=ask_filters(),
        env=env,
        rows=rows,
        policies=policies,
        wanted=wanted,
        found=found,
        next=following if following < found.total else None,
        lately=queries.crossings(session, env.id, limit=LATELY),
        words=limit_words,
        curl=_curl(policies[0] if policies else "api-calls"),
    )


@blueprint.get("/limits/all")
@require(VIEW)
def limit_list() -> ResponseReturnValue:
    """List the limits there are, by policy."""
    env = current_environment()
    return render_template(
        "usage/limit_list.html", env=env, rows=queries.listed(db.session(), env.id), words=limit_words
    )


@blueprint.get("/limits/crossings")
@require(VIEW)
def limit_crossings() -> ResponseReturnValue:
    """List who reached 80, 90 or 100 % of a limit in the last 30 days."""
    session, env = db.session(), current_environment()
    level = choice("level", ("", *map(str, LEVELS)), "")
    after = _place(text("cursor"))
    found = queries.crossings(session, env.id, level=int(level or 0), after=after, limit=PAGE + 1)
    last = found[PAGE - 1].crossing if len(found) > PAGE else None
    return render_template(
        "usage/limit_crossings.html",
        env=env,
        level=level,
        levels=[(None, "All"), *((str(each), f"{each}%") for each in LEVELS)],
        found=found[:PAGE],
        next=f"{int(last.at.timestamp() * 10**6)}-{last.id}" if last else None,
    )


@blueprint.get("/limits/new")
@require(EDIT)
def limit_new() -> ResponseReturnValue:
    """Show an empty form."""
    return _form_page(NewLimitForm(data={"policy": text("policy"), "scope": "default", "kind": "window"}))


@blueprint.post("/limits/new")
@require(EDIT)
def limit_create() -> ResponseReturnValue:
    """Make a limit."""
    session, env, form = db.session(), current_environment(), NewLimitForm(_only(*OWN, *NEW, "version"))
    try:
        row = service.create(session, actor(), env.id, values_of(form), now=current_runtime().clock.now())
        session.commit()
    except (InputError, Conflict) as error:
        return _again(form, error)
    flash(f"{row.policy} allows {limit_words(row)}. It is in force within two seconds.", "success")
    return redirect(url_for("usage.limit_list", env=env.slug))


@blueprint.get("/limits/<int:limit_id>")
@require(EDIT)
def limit_edit(limit_id: int) -> ResponseReturnValue:
    """Show the form with the limit as it is."""
    row = service.get(db.session(), current_environment().id, limit_id)
    return _form_page(filled(row), row)


@blueprint.post("/limits/<int:limit_id>")
@require(EDIT)
def limit_save(limit_id: int) -> ResponseReturnValue:
    """Save what was edited, unless someone else did meanwhile."""
    session, env, form = db.session(), current_environment(), LimitForm(_only(*OWN, "version"))
    row = service.get(session, env.id, limit_id)
    try:
        version = _version(form["version"].data)
        service.edit(session, row, actor(), values_of(form), now=current_runtime().clock.now(), version=version)
        session.commit()
    except (InputError, Conflict) as error:
        return _again(form, error, limit_id)
    flash(f"{row.policy} allows {limit_words(row)}.", "success")
    return redirect(url_for("usage.limit_list", env=env.slug))


@blueprint.post("/limits/<int:limit_id>/delete")
@require(EDIT)
def limit_delete(limit_id: int) -> ResponseReturnValue:
    """Delete a limit, unless someone else edited it meanwhile."""
    session, env = db.session(), current_environment()
    version = _version(_only("version").get("version"))
    row = service.get(session, env.id, limit_id)
    policy = row.policy
    service.delete(session, row, actor(), now=current_runtime().clock.now(), version=version)
    session.commit()
    flash(f"A limit of {policy} was deleted.", "success")
    return redirect(url_for("usage.limit_list", env=env.slug))


def _form_page(form: LimitForm, row: UsageQuota | None = None) -> str:
    shown = queries.row(db.session(), row) if row else None
    return render_template("usage/limit_form.html", form=form, row=shown, env=current_environment(), words=limit_words)


def _again(form: LimitForm, error: InputError | Conflict, limit_id: int | None = None) -> ResponseReturnValue:
    """Show the form once more, with what was typed and what is wrong with it."""
    session = db.session()
    session.rollback()
    show_errors(form, error if isinstance(error, InputError) else InputError(error.message))
    row = service.get(session, current_environment().id, limit_id) if limit_id is not None else None
    return _form_page(form, row), error.status


def _only(*names: str) -> Any:
    """Return the posted form; raises InputError for a field that is not one of `names`: nothing else can be set."""
    unknown = sorted(set(request.form) - {*names, "csrf_token"})
    if unknown:
        raise InputError(f"No limit has {', '.join(unknown)[:200]}.", dict.fromkeys(unknown, "is unknown"))
    return request.form


def _version(raw: str | None) -> int:
    found = whole_number(raw or "")
    if found is None:
        raise InputError("This form is not whole: load the page again.")
    return found


def _place(cursor: str) -> Any:
    """Return where a page of crossings goes on; raises InputError for a cursor that is none."""
    if not cursor:
        return None
    first, _, last = cursor.partition("-")
    micros, row_id = whole_number(first), whole_number(last)
    if micros is None or row_id is None or micros > 7 * 10**15:
        raise InputError("This page's cursor is not valid: start from the first page.")
    return _EPOCH + timedelta(microseconds=micros), row_id


def _curl(policy: str) -> str:
    base = current_runtime().settings.base_url
    return (
        f"curl {base}/v1/quota/check \\\n"
        "  -H 'Authorization: Bearer YOUR_KEY' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"policy": "{policy}", "user": "u_42"}}'"""
    )
