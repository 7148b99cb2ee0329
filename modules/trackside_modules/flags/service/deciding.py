"""Who may decide on change requests: a member who still works here and may, also behind a key that they made."""

from dataclasses import replace

from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.auth.people import member_by_email
from trackside.auth.roles import permissions_of
from trackside.errors import NotAllowed
from trackside.registry import Registry
from trackside_modules.flags.service.requests import behind

PERMISSION = "flags.approve"


def decider(session: Session, registry: Registry, who: Actor) -> Actor:
    """Return `who`, named with the member behind them; raises NotAllowed where that member may not decide."""
    member_id = behind(session, who.member_id, who.key_id)
    if member_id is None:
        raise NotAllowed(
            "Nobody stands behind this key: it was made from the shell. A member makes one under Settings, API keys, "
            "and decides by it."
        )
    member = session.get_one(Member, member_id)
    _must_be_allowed(registry, member)
    return replace(who, name=f"{member.email} by {who.name}")


def member_at_the_shell(session: Session, registry: Registry, email: str) -> Actor:
    """Return the member for whom a decision is made from the shell; raises NotFound, and as `decider`."""
    member = member_by_email(session, email)
    _must_be_allowed(registry, member)
    return Actor(f"{member.email} by command line", member_id=member.id)


def _must_be_allowed(registry: Registry, member: Member) -> None:
    if member.disabled_at is not None:
        raise NotAllowed(f"{member.email} cannot sign in any more, and decides nothing.")
    if PERMISSION not in permissions_of(registry, member.role):
        raise NotAllowed(f"{member.email} is {member.role}, and may not decide on change requests.")
