"""Settings of service levels: calendars, policies, when customers are asked for a rating."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from trackside.auth.audit import audit
from trackside.auth.login import actor
from trackside.db import db
from trackside.errors import Conflict, InputError, NotFound
from trackside.web.look import now
from trackside.web.policy import require
from trackside_modules.support.clocks.rules import Calendar, Policy, Rules
from trackside_modules.support.queries.topics import paths, tree
from trackside_modules.support.service import asking, metrics, rules
from trackside_modules.support.service.asking import Asking
from trackside_modules.support.web import clock_forms as forms
from trackside_modules.support.web.base import MANAGE, VIEW, blueprint, how, whole
from trackside_modules.support.web.clock_forms import AskingForm, CalendarForm, PolicyForm

C = TypeVar("C", Calendar, Policy)
SECTIONS = (
    ("Service levels", "support.levels"),
    ("Topics", "support.topics"),
    ("Macros", "support.macros"),
    ("Trackers", "support.trackers"),
    ("Import", "support.imports"),
)


@blueprint.app_template_global()
def support_settings_tabs() -> list[tuple[str, str, None]]:
    """Return the tabs of the settings as `ui.tabs` takes them."""
    return [(label, url_for(endpoint), None) for label, endpoint in SECTIONS]


@blueprint.get("/settings")
@require(VIEW)
def levels() -> ResponseReturnValue:
    """Show policies, calendars, how ratings are asked for, and what was changed."""
    return _levels()


@blueprint.post("/settings/asking")
@require(MANAGE)
def save_asking() -> ResponseReturnValue:
    """Change when customers are asked for a rating."""
    form = AskingForm(request.form)
    wanted = Asking(bool(form.on.data), _number(form.after_minutes.data), _number(form.quiet_days.data))
    session = db.session()
    try:
        asking.set_asking(session, wanted)
    except InputError as error:
        forms.show_errors(form, error.fields, error.message)
        return _levels(form), 422
    audit(session, actor(), "support_csat.changed", "support_csat", "csat", at=now(), changes={"on": str(wanted.on)})
    session.commit()
    flash("Saved.", "success")
    return redirect(url_for("support.levels"))


@blueprint.get("/settings/calendars/new")
@require(MANAGE)
def new_calendar() -> ResponseReturnValue:
    """Show the form of a new calendar, as the first one stands."""
    first = _rules().calendars[0]
    form = forms.calendar_filled(first)
    form.name.data, form.closed.data, form.worked.data = "", "", ""
    return _calendar(form, None)


@blueprint.get("/settings/calendars/<int:calendar_id>")
@require(VIEW)
def calendar(calendar_id: int) -> ResponseReturnValue:
    """Show a calendar's form."""
    found = _one(_rules().calendars, calendar_id, "calendar")
    return _calendar(forms.calendar_filled(found), found)


@blueprint.post("/settings/calendars/new", endpoint="add_calendar")
@blueprint.post("/settings/calendars/<int:calendar_id>")
@require(MANAGE)
def save_calendar(calendar_id: int = 0) -> ResponseReturnValue:
    """Add or change a calendar."""
    form = CalendarForm(request.form)
    known = _one(_rules().calendars, calendar_id, "calendar") if calendar_id else None

    def save(version: int | None) -> Rules:
        return rules.put_calendar(db.session(), forms.calendar_of(form, calendar_id), if_version=version, **how())

    return _saved(form, save, lambda: _calendar(form, known), "The calendar is saved; metrics follow.")


@blueprint.post("/settings/calendars/<int:calendar_id>/remove")
@require(MANAGE)
def remove_calendar(calendar_id: int) -> ResponseReturnValue:
    """Take a calendar away."""
    return _done(lambda: rules.drop_calendar(db.session(), calendar_id, **how()), "The calendar is gone.")


@blueprint.get("/settings/policies/new")
@require(MANAGE)
def new_policy() -> ResponseReturnValue:
    """Show the form of a new policy."""
    return _policy(PolicyForm(), None)


@blueprint.get("/settings/policies/<int:policy_id>")
@require(VIEW)
def policy(policy_id: int) -> ResponseReturnValue:
    """Show a policy's form."""
    found = _one(_rules().policies, policy_id, "policy")
    return _policy(forms.policy_filled(found), found)


@blueprint.post("/settings/policies/new", endpoint="add_policy")
@blueprint.post("/settings/policies/<int:policy_id>")
@require(MANAGE)
def save_policy(policy_id: int = 0) -> ResponseReturnValue:
    """Add or change a policy."""
    form = PolicyForm(request.form)
    known = _one(_rules().policies, policy_id, "policy") if policy_id else None

    def save(version: int | None) -> Rules:
        return rules.put_policy(db.session(), forms.policy_of(form, policy_id), if_version=version, **how())

    return _saved(form, save, lambda: _policy(form, known), "The policy is saved; metrics follow.")


@blueprint.post("/settings/policies/<int:policy_id>/remove")
@require(MANAGE)
def remove_policy(policy_id: int) -> ResponseReturnValue:
    """Take a policy away."""
    return _done(lambda: rules.drop_policy(db.session(), policy_id, **how()), "The policy is gone.")


@blueprint.post("/settings/policies/<int:policy_id>/raise")
@require(MANAGE)
def raise_policy(policy_id: int) -> ResponseReturnValue:
    """Let a policy be asked before the one above it."""
    return _done(lambda: rules.raise_policy(db.session(), policy_id, **how()), "The order is changed.")


def _levels(form: AskingForm | None = None) -> str:
    session = db.session()
    found, wanted = rules.current(session), asking.asking(session)
    return render_template(
        "support/levels.html",
        rules=found,
        stale=metrics.stale(session, found),
        versions=rules.versions(session),
        asking=wanted,
        form=form or AskingForm(obj=wanted),
        days=forms.DAYS,
        clock=forms.clock,
        target=forms.target_words,
        paths=paths(session),
    )


def _calendar(form: CalendarForm, known: Calendar | None) -> str:
    found = _rules()
    forms.offered(form, found)
    form.version.data = form.version.data or str(found.version)
    users = [each.name for each in found.policies if known and each.calendar_id == known.id]
    return render_template(
        "support/calendar.html", form=form, known=known, days=forms.DAYS, users=users, alone=len(found.calendars) == 1
    )


def _policy(form: PolicyForm, known: Policy | None) -> str:
    found = _rules()
    forms.offered(form, found, _topics(known))
    form.version.data = form.version.data or str(found.version)
    return render_template("support/policy.html", form=form, known=known)


def _topics(known: Policy | None) -> list[tuple[int, str]]:
    """Return the topics that a policy can be for: those in use, and what it has."""
    chosen = known.when.topics if known else ()
    every = tree(db.session(), archived=True)
    return [(each.id, each.path) for each in every if not each.archived or each.id in chosen]


def _rules() -> Rules:
    return rules.current(db.session())


def _one(every: Iterable[C], row_id: int, called: str) -> C:
    found = next((each for each in every if each.id == row_id), None)
    if found is None:
        raise NotFound(f"There is no such {called}.")
    return found


def _saved(
    form: CalendarForm | PolicyForm, save: Callable[[int | None], Rules], page: Callable[[], str], words: str
) -> ResponseReturnValue:
    try:
        save(whole(form.version.data or ""))
    except (InputError, Conflict) as error:
        db.session().rollback()
        forms.show_errors(form, error.fields if isinstance(error, InputError) else {}, error.message)
        return page(), error.status
    return _committed(words)


def _done(act: Callable[[], Rules], words: str) -> ResponseReturnValue:
    try:
        act()
    except Conflict as error:
        db.session().rollback()
        flash(error.message, "error")
        return redirect(url_for("support.levels"))
    return _committed(words)


def _committed(words: str) -> ResponseReturnValue:
    db.session().commit()
    flash(words, "success")
    return redirect(url_for("support.levels"))


def _number(value: int | None) -> int:
    return -1 if value is None else value
