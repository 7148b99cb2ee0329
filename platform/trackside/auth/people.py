"""Members: made, changed, disabled. Every change ends the sessions it concerns and is written to the audit log."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from trackside.auth import passwords, sessions
from trackside.auth.audit import Actor, audit
from trackside.auth.models import Member, MemberLink
from trackside.auth.roles import OWNER, may_give
from trackside.errors import Conflict, InputError, NotAllowed, NotFound
from trackside.module import ROLES
from trackside.text import clean_line

PLACEHOLDER = "owner@localhost"
"""Address of the first owner until they set their own."""

# those who were shut out again invited nobody, and the demo's team never could sign in
_MEMBERS = select(func.count()).where(Member.disabled_at.is_(None)).scalar_subquery()
SOMEBODY_INVITED = select(or_(_MEMBERS > 1, exists().where(MemberLink.purpose == "invitation")))
"""Whether anybody but the first owner was made a member or invited."""


def clean_email(raw: str) -> str:
    """Return an address in the one form we store; raises InputError where it is none."""
    if raw.strip().lower() == PLACEHOLDER:
        return PLACEHOLDER
    try:
        # Hosts of an intranet and of tests are fine: nothing is ever sent there by us.
        checked = validate_email(
            raw.strip(), check_deliverability=False, globally_deliverable=False, test_environment=True
        )
        return checked.normalized.lower()
    except EmailNotValidError as error:
        problem = f"This is not an e-mail address: {error}"
        raise InputError(problem, {"email": problem}) from None


def find_by_email(session: Session, raw: str) -> Member | None:
    """Return the member with that address, or None; also for what is no address at all."""
    try:
        return session.scalar(select(Member).where(Member.email == clean_email(raw)))
    except InputError:
        return None


def member_by_email(session: Session, raw: str) -> Member:
    """Return the member with that address; raises NotFound."""
    found = session.scalar(select(Member).where(Member.email == clean_email(raw)))
    if found is None:
        raise NotFound(f"There is no member {raw.strip()!r}: `trackside member list` shows all")
    return found


def member_by_id(session: Session, member_id: int) -> Member:
    """Return the member; raises NotFound."""
    found = session.get(Member, member_id)
    if found is None:
        raise NotFound("There is no such member.")
    return found


def create_member(session: Session, actor: Actor, now: datetime, email: str, role: str, *, name: str = "") -> Member:
    """Make a member without a password; a link lets them set one. Raises Conflict where the address is taken."""
    address = clean_email(email)
    if role not in ROLES:
        raise InputError(f"There is no role {role!r}: choose one of {', '.join(ROLES)}", {"role": "Choose a role."})
    if session.scalar(select(Member.id).where(Member.email == address)):
        raise Conflict(f"{address} is a member already.")
    member = Member(email=address, name=clean_line(name, "name", empty=True), role=role, time_zone="UTC")
    member.created_at = now
    session.add(member)
    session.flush()
    audit(session, actor, "member.created", "member", member.id, address, at=now, changes={"role": role})
    return member


def set_profile(session: Session, actor: Actor, now: datetime, member: Member, *, name: str, time_zone: str) -> None:
    """Change what a member may change about themselves at any time."""
    if not _is_zone(time_zone):
        raise InputError("Choose a time zone from the list.", {"time_zone": "Choose a time zone from the list."})
    fresh = {"name": clean_line(name, "name"), "time_zone": time_zone}
    changes = {field: [getattr(member, field), value] for field, value in fresh.items()}
    changes = {field: pair for field, pair in changes.items() if pair[0] != pair[1]}
    for field, value in fresh.items():
        setattr(member, field, value)
    if changes:
        audit(session, actor, "member.changed", "member", member.id, member.email, at=now, changes=changes)


def set_email(session: Session, actor: Actor, now: datetime, member: Member, email: str) -> None:
    """Give a member another address; raises Conflict where it is taken."""
    address = clean_email(email)
    if address == member.email:
        return
    if session.scalar(select(Member.id).where(Member.email == address)):
        raise Conflict(f"{address} belongs to another member.")
    changes = {"email": [member.email, address]}
    member.email = address
    audit(session, actor, "member.changed", "member", member.id, address, at=now, changes=changes)


def set_password(session: Session, actor: Actor, now: datetime, member: Member, password: str) -> None:
    """Give a member a new password and sign them out everywhere. Raises InputError where it is too weak."""
    passwords.check_password(password, member.email, member.name)
    member.password_hash = passwords.hash_password(password)
    sessions.end_all(session, member.id)
    audit(session, actor, "member.password_set", "member", member.id, member.email, at=now)


def set_role(session: Session, actor: Actor, now: datetime, member: Member, role: str, *, by: str = OWNER) -> None:
    """Give a member another role and sign them out; `by` is the role of whoever does it.

    Raises NotAllowed where they may not, Conflict where the last owner would be gone.
    """
    if role not in ROLES:
        raise InputError(f"There is no role {role!r}: choose one of {', '.join(ROLES)}", {"role": "Choose a role."})
    if not may_give(by, role) or not may_give(by, member.role):
        raise NotAllowed("Only an owner can make or change an owner.")
    if role == member.role:
        return
    if member.role == OWNER:
        _keep_an_owner(session, member)
    changes = {"role": [member.role, role]}
    member.role = role
    sessions.end_all(session, member.id)
    audit(session, actor, "member.role_changed", "member", member.id, member.email, at=now, changes=changes)


def disable(session: Session, actor: Actor, now: datetime, member: Member, *, by: str = OWNER) -> None:
    """Shut a member out at once. Raises NotAllowed for themselves, Conflict for the last owner."""
    if actor.member_id == member.id:
        raise NotAllowed("You cannot disable yourself: ask another owner or admin.")
    if not may_give(by, member.role):
        raise NotAllowed("Only an owner can disable an owner.")
    if member.disabled_at is None:
        _keep_an_owner(session, member)
        member.disabled_at = now
        sessions.end_all(session, member.id)
        audit(session, actor, "member.disabled", "member", member.id, member.email, at=now)


def enable(session: Session, actor: Actor, now: datetime, member: Member, *, by: str = OWNER) -> None:
    """Let a disabled member in again."""
    if not may_give(by, member.role):
        raise NotAllowed("Only an owner can enable an owner.")
    if member.disabled_at is not None:
        member.disabled_at = None
        audit(session, actor, "member.enabled", "member", member.id, member.email, at=now)


def first_owner(session: Session) -> Member | None:
    """Return the oldest owner who is not disabled, or None."""
    owners = select(Member).where(Member.role == OWNER, Member.disabled_at.is_(None)).order_by(Member.id)
    return session.scalars(owners.limit(1)).first()


def _keep_an_owner(session: Session, member: Member) -> None:
    # Locked, so that two owners cannot demote each other at the same moment.
    owners = select(Member.id).where(Member.role == OWNER, Member.disabled_at.is_(None)).with_for_update()
    if member.role == OWNER and set(session.scalars(owners)) <= {member.id}:
        raise Conflict("This is the last owner: make somebody else an owner first.")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)
