"""Links that work once: the first sign-in, invitations, password resets. There is no mail yet: people hand them over.

Opening a link changes nothing, since chat programs open links for a preview; the button on its page does.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trackside.auth import people
from trackside.auth.audit import COMMAND_LINE, SYSTEM, Actor, audit
from trackside.auth.models import Member, MemberLink
from trackside.auth.roles import OWNER, may_give
from trackside.auth.tokens import digest, new_token
from trackside.errors import Conflict, NotAllowed, NotFound
from trackside.runtime import Runtime

SIGN_IN, INVITATION, RESET = "sign-in", "invitation", "reset"
LIFETIMES = {SIGN_IN: timedelta(hours=24), INVITATION: timedelta(days=7), RESET: timedelta(minutes=30)}
PATH = "/link/"
KEPT = timedelta(days=30)


def url_of(runtime: Runtime, token: str) -> str:
    """Return the address that a link with `token` has in browsers."""
    return f"{runtime.settings.base_url.rstrip('/')}{PATH}{token}"


def first_sign_in_link(runtime: Runtime, *, demo: bool = False) -> str:
    """Return a link that signs the owner in once, within 24 hours; makes the owner where there is none.

    An owner without a password is asked for an address and a password first; not so in the `demo`.
    """
    now = runtime.clock.now()
    with runtime.database.session() as session:
        owner = people.first_owner(session)
        if owner is None:
            owner = people.create_member(session, SYSTEM, now, people.PLACEHOLDER, OWNER, name="Owner")
        return url_of(runtime, issue_sign_in(session, COMMAND_LINE, now, owner, direct=demo))


def issue_sign_in(session: Session, actor: Actor, now: datetime, member: Member, *, direct: bool = False) -> str:
    """Return the token of a link that signs `member` in; earlier ones stop working."""
    token = _issue(session, SIGN_IN, now, actor, member_id=member.id, direct=direct)
    audit(session, actor, "member.sign_in_link_made", "member", member.id, member.email, at=now)
    return token


def issue_reset(session: Session, actor: Actor, now: datetime, member: Member, *, by: str = OWNER) -> str:
    """Return the token of a link that lets `member` set a new password; earlier ones stop working.

    Raises NotAllowed where a member of role `by` may not, Conflict where the member is disabled.
    """
    if not may_give(by, member.role):
        raise NotAllowed("Only an owner can reset an owner's password.")
    if member.disabled_at is not None:
        raise Conflict(f"{member.email} is disabled: enable them first.")
    token = _issue(session, RESET, now, actor, member_id=member.id)
    audit(session, actor, "member.reset_link_made", "member", member.id, member.email, at=now)
    return token


def invite(session: Session, actor: Actor, now: datetime, email: str, role: str, *, by: str = OWNER) -> str:
    """Return the token of an invitation, valid for 7 days; inviting an address again replaces its older one."""
    address = people.clean_email(email)
    if not may_give(by, role):
        raise NotAllowed("Only an owner can invite an owner.")
    if session.scalar(select(Member.id).where(Member.email == address)):
        raise Conflict(f"{address} is a member already.")
    token = _issue(session, INVITATION, now, actor, email=address, role=role)
    audit(session, actor, "invitation.made", "invitation", address, address, at=now, changes={"role": role})
    return token


def revoke_invitation(session: Session, actor: Actor, now: datetime, link_id: int, *, by: str = OWNER) -> None:
    """Make an open invitation worthless; raises NotFound where there is none."""
    link = open_invitation(session, link_id)
    if not may_give(by, link.role or ""):
        raise NotAllowed("Only an owner can revoke an owner's invitation.")
    link.used_at = now
    audit(session, actor, "invitation.revoked", "invitation", link.email or "", link.email or "", at=now)


def open_invitation(session: Session, link_id: int) -> MemberLink:
    """Return an invitation that nobody has accepted yet; raises NotFound."""
    link = session.get(MemberLink, link_id)
    if link is None or link.purpose != INVITATION or link.used_at is not None:
        raise NotFound("This invitation was accepted or revoked already.")
    return link


def open_invitations(session: Session) -> list[MemberLink]:
    """Return the invitations not accepted or revoked, expired ones too, the newest first."""
    waiting = select(MemberLink).where(MemberLink.purpose == INVITATION, MemberLink.used_at.is_(None))
    return list(session.scalars(waiting.order_by(MemberLink.created_at.desc(), MemberLink.id.desc())))


def look(session: Session, token: str, now: datetime) -> tuple[MemberLink, Member | None]:
    """Return a link that still works, and the member it is for; raises NotFound. Uses nothing up."""
    link = session.scalar(select(MemberLink).where(MemberLink.token_hash == digest(token)))
    return _valid(session, link, now)


def use(session: Session, token: str, now: datetime) -> tuple[MemberLink, Member | None]:
    """Use a link up and return it; raises NotFound for the second of two who come at once."""
    link = session.scalar(
        update(MemberLink)
        .where(MemberLink.token_hash == digest(token), MemberLink.used_at.is_(None))
        .values(used_at=now)
        .returning(MemberLink)
    )
    return _valid(session, link, now, using=True)


def accept(session: Session, token: str, now: datetime, address: str | None, *, name: str, password: str) -> Member:
    """Make the invited member of an invitation, with a name and a password."""
    link, _ = use(session, token, now)
    actor = Actor(link.email or "", address=address)
    member = people.create_member(session, actor, now, link.email or "", link.role or "", name=name)
    people.set_password(session, Actor(member.email, member.id, address=address), now, member, password)
    return member


def sweep(session: Session, now: datetime) -> None:
    """Remove links that ended more than 30 days ago."""
    session.execute(delete(MemberLink).where(func.coalesce(MemberLink.used_at, MemberLink.expires_at) < now - KEPT))


def _issue(
    session: Session,
    purpose: str,
    now: datetime,
    actor: Actor,
    *,
    member_id: int | None = None,
    email: str | None = None,
    role: str | None = None,
    direct: bool = False,
) -> str:
    whose = MemberLink.email == email if member_id is None else MemberLink.member_id == member_id
    earlier = update(MemberLink).where(MemberLink.purpose == purpose, whose, MemberLink.used_at.is_(None))
    session.execute(earlier.values(used_at=now))
    token = new_token()
    session.add(
        MemberLink(
            token_hash=digest(token),
            purpose=purpose,
            member_id=member_id,
            email=email,
            role=role,
            direct=direct,
            created_by=actor.member_id,
            created_at=now,
            expires_at=now + LIFETIMES[purpose],
        )
    )
    return token


def _valid(
    session: Session, link: MemberLink | None, now: datetime, *, using: bool = False
) -> tuple[MemberLink, Member | None]:
    ended = link is None or link.expires_at <= now or (link.used_at is not None and not using)
    member = session.get(Member, link.member_id) if link and link.member_id else None
    if ended or link is None or (member is not None and member.disabled_at is not None):
        raise NotFound("This link has been used, has expired, or was replaced by a newer one: ask for another.")
    return link, member
