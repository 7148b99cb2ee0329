"""Signing in and out, and the pages behind one-time links."""

from importlib import import_module
from typing import Any

from flask import Flask, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from trackside.auth import links, login, passwords, people, throttle
from trackside.auth.audit import Actor, audit
from trackside.auth.blueprint import blueprint
from trackside.auth.forms import NewPasswordForm, OwnerForm, SignInForm, WelcomeForm, show_error
from trackside.auth.models import Member, MemberLink
from trackside.db import db
from trackside.errors import InputError, NotFound, TooMany, TracksideError
from trackside.web.current import current_runtime
from trackside.web.home import own_path
from trackside.web.policy import public

WRONG = "This address and password do not go together."


@blueprint.get("/sign-in")
@public("one cannot be signed in yet")
def sign_in() -> ResponseReturnValue:
    """Show the sign-in form."""
    if current_user.is_authenticated:
        return redirect(own_path(request.args.get("next")))
    return render_template("auth/sign_in.html", form=SignInForm(), next=request.args.get("next", ""))


@blueprint.post("/sign-in")
@public("one cannot be signed in yet")
def try_sign_in() -> ResponseReturnValue:
    """Sign in with address and password; the answer and its time do not tell whether there is such a member."""
    form, target = SignInForm(), request.form.get("next", "")
    if not form.validate_on_submit():
        return render_template("auth/sign_in.html", form=form, next=target), 422
    email, address, now = form.email.data or "", request.remote_addr or "", current_runtime().clock.now()
    try:
        with current_runtime().database.session() as own:
            throttle.admit(own, email, address, now)
    except TooMany as error:
        show_error(form, error)
        page = make_response(render_template("auth/sign_in.html", form=form, next=target), 429)
        page.headers["Retry-After"] = str(error.retry_after)
        return page
    member = people.find_by_email(db.session(), email)
    usable = member is not None and member.disabled_at is None
    stored = member.password_hash if member is not None and usable else None
    if not passwords.password_matches(stored, form.password.data or "") or member is None:
        form.form_errors.append(WRONG)
        return render_template("auth/sign_in.html", form=form, next=target), 422
    _enter(member, form.password.data or "")
    return redirect(own_path(target))


def _enter(member: Member, password: str) -> None:
    throttle.forgive(db.session(), member.email, request.remote_addr or "")
    if member.password_hash and passwords.needs_rehash(member.password_hash):
        member.password_hash = passwords.hash_password(password)
    _sign_in(member, "password")


def _sign_in(member: Member, how: str) -> None:
    now = current_runtime().clock.now()
    login.sign_in_browser(member)
    audit(
        db.session(), login.actor(), "member.signed_in", "member", member.id, member.email, at=now, changes={"by": how}
    )
    db.session.commit()


@blueprint.post("/sign-out")
@public("whose session has ended meanwhile is signed out already")
def sign_out() -> ResponseReturnValue:
    """End this session and go to the sign-in page."""
    if current_user.is_authenticated:
        who, now = login.actor(), current_runtime().clock.now()
        audit(db.session(), who, "member.signed_out", "member", current_user.id, current_user.email, at=now)
    login.sign_out_browser()
    db.session.commit()
    flash("You are signed out.", "success")
    return redirect(url_for("auth.sign_in"))


@blueprint.get("/forgot-password")
@public("who forgot their password is not signed in")
def forgot_password() -> ResponseReturnValue:
    """Say whom to ask for a link: there is no mail."""
    return render_template("auth/forgot_password.html")


@blueprint.get("/link/<token>")
@public("the link itself is what lets one in")
def link(token: str) -> ResponseReturnValue:
    """Show what a one-time link is for; only its button uses it up, so that previews of it do no harm."""
    found, member = links.look(db.session(), token, current_runtime().clock.now())
    return _link_page(found, member, _form_of(found, member))


@blueprint.post("/link/<token>")
@public("the link itself is what lets one in")
def use_link(token: str) -> ResponseReturnValue:
    """Use a one-time link up: set what it asks for and sign in."""
    session, now = db.session(), current_runtime().clock.now()
    found, member = links.look(session, token, now)
    form = _form_of(found, member)
    if form is not None and not form.validate_on_submit():
        return _link_page(found, member, form), 422
    try:
        if found.purpose == links.INVITATION and form is not None:
            fields = {"name": form.name.data, "password": form.password.data}
            member = links.accept(session, token, now, request.remote_addr, **fields)
        else:
            _, member = links.use(session, token, now)
            if member is None:
                raise NotFound
            if form is not None:
                _fill_in(member, form)
    except NotFound:
        raise
    except TracksideError as error:
        session.rollback()
        if form is None or error.status >= 500:
            raise
        show_error(form, error)
        return _link_page(*links.look(session, token, now), form), 422 if isinstance(error, InputError) else 409
    _sign_in(member, found.purpose)
    return redirect(url_for("home.index"))


def _fill_in(member: Member, form: Any) -> None:
    session, now = db.session(), current_runtime().clock.now()
    who = Actor(member.email, member.id, None, request.remote_addr, login.request_id())
    if isinstance(form, OwnerForm):
        people.set_email(session, who, now, member, form.email.data or "")
    if isinstance(form, WelcomeForm):
        people.set_profile(session, who, now, member, name=form.name.data or "", time_zone=member.time_zone)
    people.set_password(session, who, now, member, form.password.data or "")


def _form_of(found: MemberLink, member: Member | None) -> Any:
    """Return the form that the link's page asks to fill in; None where a button is enough."""
    if found.purpose == links.INVITATION:
        return WelcomeForm()
    if found.purpose == links.RESET:
        return NewPasswordForm()
    if found.direct or member is None or member.password_hash:
        return None
    return OwnerForm() if member.email == people.PLACEHOLDER else WelcomeForm(name=member.name)


def _link_page(found: MemberLink, member: Member | None, form: Any) -> str:
    return render_template("auth/link.html", link=found, member=member, form=form)


def install(app: Flask) -> None:
    """Connect sign-in, sessions and the profile to `app`."""
    import_module("trackside.auth.profile")  # adds its routes to the blueprint
    login.install(app)
    app.register_blueprint(blueprint)
