"""A member's own page: name, time zone, what they sign in with, theme, and the browsers they are signed in with."""

from functools import cache
from zoneinfo import available_timezones

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf import FlaskForm

from trackside.auth import login, passwords, people, sessions, throttle
from trackside.auth.agents import describe
from trackside.auth.audit import audit
from trackside.auth.blueprint import blueprint
from trackside.auth.forms import AccessForm, ProfileForm, choices, show_error
from trackside.auth.models import Member
from trackside.db import db
from trackside.errors import InputError, TooMany, TracksideError
from trackside.web.current import current_runtime
from trackside.web.policy import signed_in

SESSIONS = "#sessions"


@blueprint.get("/profile")
@signed_in
def profile() -> ResponseReturnValue:
    """Show the member's own profile."""
    return _page(_member())


@blueprint.post("/profile")
@signed_in
def change_profile() -> ResponseReturnValue:
    """Change name and time zone."""
    member, form = _member(), _profile_form(None)
    if not form.validate_on_submit():
        return _page(member, profile_form=form), 422
    values = {"name": form.name.data, "time_zone": form.time_zone.data}
    try:
        people.set_profile(db.session(), login.actor(), current_runtime().clock.now(), member, **values)
    except InputError as error:
        show_error(form, error)
        return _page(member, profile_form=form), 422
    db.session.commit()
    flash("Your profile is saved.", "success")
    return redirect(url_for("auth.profile"))


@blueprint.post("/profile/access")
@signed_in
def change_access() -> ResponseReturnValue:
    """Change address or password; both end all other sessions, a new password this one's cookie too."""
    member, form = _member(), AccessForm()
    if not form.validate_on_submit():
        return _page(member, access_form=form), 422
    try:
        _change_access(member, form)
    except TracksideError as error:
        if error.status >= 500:
            raise
        db.session.rollback()
        show_error(form, error)
        return _page(_member(), access_form=form), 429 if isinstance(error, TooMany) else 422
    flash("Saved. Other browsers are signed out.", "success")
    return redirect(url_for("auth.profile"))


def _change_access(member: Member, form: AccessForm) -> None:
    session, who, now = db.session(), login.actor(), current_runtime().clock.now()
    if member.password_hash:
        # A forgotten open browser must not let a passer-by take the account over, by guessing either.
        with current_runtime().database.session() as own:
            throttle.admit(own, member.email, request.remote_addr or "", now)
        if not passwords.password_matches(member.password_hash, form.current.data or ""):
            raise InputError("", {"current": "This is not your current password."})
        throttle.forgive(session, member.email, request.remote_addr or "")
    elif not form.password.data:
        raise InputError("", {"password": "Choose a password, so that you can sign in again."})
    people.set_email(session, who, now, member, form.email.data or "")
    if form.password.data:
        people.set_password(session, who, now, member, form.password.data)
    sessions.end_all(session, member.id)
    login.sign_in_browser(member)
    session.commit()


@blueprint.post("/profile/sessions/<int:session_id>/end")
@signed_in
def end_session(session_id: int) -> ResponseReturnValue:
    """Sign one browser out."""
    sessions.end_one(db.session(), current_user.id, session_id)
    _note("member.session_ended")
    flash("That browser is signed out.", "success")
    return redirect(url_for("auth.profile") + SESSIONS)


@blueprint.post("/profile/sessions/end")
@signed_in
def end_sessions() -> ResponseReturnValue:
    """Sign out everywhere, this browser too."""
    sessions.end_all(db.session(), current_user.id)
    _note("member.signed_out_everywhere")
    login.sign_out_browser()
    flash("You are signed out everywhere.", "success")
    return redirect(url_for("auth.sign_in"))


def _note(action: str) -> None:
    session, now = db.session(), current_runtime().clock.now()
    audit(session, login.actor(), action, "member", current_user.id, current_user.email, at=now)
    session.commit()


def _member() -> Member:
    return people.member_by_id(db.session(), current_user.id)


def _profile_form(member: Member | None) -> ProfileForm:
    form = ProfileForm(obj=member)
    form.time_zone.choices = choices((zone, zone.replace("_", " ")) for zone in _zones())
    return form


@cache  # looking through the system's files takes longer than all of the page
def _zones() -> list[str]:
    places = (zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix", "right")))
    return ["UTC", *sorted(places)]


def _page(member: Member, profile_form: FlaskForm | None = None, access_form: FlaskForm | None = None) -> str:
    lives = sessions.lifetime(current_runtime().settings)
    rows = sessions.sessions_of(db.session(), member.id, current_runtime().clock.now(), lives)
    return render_template(
        "auth/profile.html",
        member=member,
        profile_form=profile_form or _profile_form(member),
        access_form=access_form or AccessForm(formdata=None, email=member.email),
        placeholder=member.email == people.PLACEHOLDER,
        sessions=[(row, describe(row.user_agent)) for row in rows],
        lives=lives,
    )
