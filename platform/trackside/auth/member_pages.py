"""Members: the list, invitations, roles, and shutting somebody out."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import func, select

from trackside.auth import links, login, people
from trackside.auth.forms import InviteForm, choices, show_error
from trackside.auth.models import Member, MemberSession
from trackside.auth.roles import OWNER, TITLES, may_give
from trackside.db import db
from trackside.errors import TracksideError
from trackside.module import ROLES
from trackside.web.current import current_runtime
from trackside.web.policy import require

blueprint = Blueprint("members", __name__, url_prefix="/members")


@blueprint.get("")
@require("members.view")
def index() -> ResponseReturnValue:
    """List members and open invitations."""
    return _page(_invite_form(formdata=None))


@blueprint.post("/invite")
@require("members.manage")
def invite() -> ResponseReturnValue:
    """Make an invitation and show its link, this once."""
    form, now = _invite_form(), current_runtime().clock.now()
    if not form.validate_on_submit():
        return _page(form), 422
    try:
        token = links.invite(
            db.session(), login.actor(), now, form.email.data or "", form.role.data, by=current_user.role
        )
    except TracksideError as error:
        if error.status >= 500:
            raise
        show_error(form, error)
        return _page(form), error.status
    db.session.commit()
    return _made(token, "Invitation", f"Send it to {(form.email.data or '').strip()}: it works once, within 7 days.")


@blueprint.post("/invitations/<int:link_id>/resend")
@require("members.manage")
def resend(link_id: int) -> ResponseReturnValue:
    """Make a new link for an open invitation; the older one stops working."""
    now = current_runtime().clock.now()
    old = links.open_invitation(db.session(), link_id)
    token = links.invite(db.session(), login.actor(), now, old.email or "", old.role or "", by=current_user.role)
    db.session.commit()
    return _made(token, "Invitation", f"Send it to {old.email}: it works once, within 7 days. The older link is dead.")


@blueprint.post("/invitations/<int:link_id>/revoke")
@require("members.manage")
def revoke(link_id: int) -> ResponseReturnValue:
    """Make an open invitation worthless."""
    links.revoke_invitation(db.session(), login.actor(), current_runtime().clock.now(), link_id, by=current_user.role)
    db.session.commit()
    flash("The invitation is revoked.", "success")
    return redirect(url_for("members.index"))


@blueprint.post("/<int:member_id>/role")
@require("members.manage")
def change_role(member_id: int) -> ResponseReturnValue:
    """Give a member another role."""
    member, role = people.member_by_id(db.session(), member_id), request.form.get("role", "")
    people.set_role(db.session(), login.actor(), current_runtime().clock.now(), member, role, by=current_user.role)
    db.session.commit()
    flash(f"{member.email} is {role} now, and has to sign in again.", "success")
    return redirect(url_for("members.index"))


@blueprint.post("/<int:member_id>/disable")
@require("members.manage")
def disable(member_id: int) -> ResponseReturnValue:
    """Shut a member out at once."""
    member = people.member_by_id(db.session(), member_id)
    people.disable(db.session(), login.actor(), current_runtime().clock.now(), member, by=current_user.role)
    db.session.commit()
    flash(f"{member.email} is disabled and signed out.", "success")
    return redirect(url_for("members.index"))


@blueprint.post("/<int:member_id>/enable")
@require("members.manage")
def enable(member_id: int) -> ResponseReturnValue:
    """Let a disabled member in again."""
    member = people.member_by_id(db.session(), member_id)
    people.enable(db.session(), login.actor(), current_runtime().clock.now(), member, by=current_user.role)
    db.session.commit()
    flash(f"{member.email} can sign in again.", "success")
    return redirect(url_for("members.index"))


@blueprint.post("/<int:member_id>/reset")
@require("members.manage")
def reset(member_id: int) -> ResponseReturnValue:
    """Make a link with which a member sets a new password, and show it, this once."""
    member = people.member_by_id(db.session(), member_id)
    token = links.issue_reset(db.session(), login.actor(), current_runtime().clock.now(), member, by=current_user.role)
    db.session.commit()
    return _made(token, "Password reset", f"Send it to {member.email}: it works once, within 30 minutes.")


def _invite_form(**given: None) -> InviteForm:
    form = InviteForm(**given)
    form.role.choices = choices((role, f"{role}: {TITLES[role]}") for role in reversed(_roles()))
    return form


def _roles() -> list[str]:
    """Return the roles that the signed-in member may give, the most powerful first."""
    return [role for role in ROLES if may_give(current_user.role, role)]


def _made(token: str, what: str, text: str) -> str:
    return render_template("auth/link_made.html", link=links.url_of(current_runtime(), token), what=what, text=text)


def _page(form: InviteForm) -> str:
    seen = select(MemberSession.member_id, func.max(MemberSession.seen_at)).group_by(MemberSession.member_id)
    order = (Member.disabled_at.is_not(None), func.lower(Member.name), Member.id)
    return render_template(
        "auth/members.html",
        form=form,
        members=db.session().scalars(select(Member).order_by(*order)).all(),
        seen=dict(db.session().execute(seen).all()),
        invitations=links.open_invitations(db.session()),
        roles=_roles(),
        titles=TITLES,
        may_change=lambda member: may_give(current_user.role, member.role),
        owner=OWNER,
    )
