"""Server-side sessions: the cookie holds a random token, the database its hash; gone is gone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from trackside.auth.models import Member, MemberSession
from trackside.auth.tokens import digest, new_token
from trackside.compiled import Compiled
from trackside.errors import NotFound
from trackside.settings import Settings

SEEN_EVERY = timedelta(minutes=1)
AGENT_LENGTH = 300


# Composed once: each page asks it.
_IDENTIFY = Compiled(
    select(Member.id, Member.email, Member.name, Member.role, Member.time_zone, MemberSession.id, MemberSession.seen_at)
    .join(MemberSession, MemberSession.member_id == Member.id)
    .where(
        MemberSession.token_hash == bindparam("token"),
        MemberSession.seen_at > bindparam("seen"),
        MemberSession.created_at > bindparam("created"),
        Member.disabled_at.is_(None),
    )
)


class Identity(NamedTuple):
    """Who is behind a session, and the session."""

    id: int
    email: str
    name: str
    role: str
    time_zone: str
    session_id: int
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long sessions live."""

    idle: timedelta
    absolute: timedelta


def lifetime(settings: Settings) -> Lifetime:
    """Return the lifetimes that `settings` ask for."""
    return Lifetime(timedelta(hours=settings.session_idle_hours), timedelta(days=settings.session_absolute_days))


def open_session(session: Session, member: Member, now: datetime, *, user_agent: str, address: str) -> str:
    """Sign `member` in and return the new token for their cookie."""
    token = new_token()
    session.add(
        MemberSession(
            token_hash=digest(token),
            member_id=member.id,
            created_at=now,
            seen_at=now,
            user_agent=user_agent.replace("\x00", "")[:AGENT_LENGTH],
            address=address,
        )
    )
    return token


def identify(session: Session, token: str, now: datetime, lives: Lifetime) -> Identity | None:
    """Return who is behind `token`, or None: unknown, ended, too old, or of a disabled member. One indexed query."""
    asked = {"token": digest(token), "seen": now - lives.idle, "created": now - lives.absolute}
    found = _IDENTIFY(session, **asked)
    return Identity(*found[0]) if found else None


def note_seen(session: Session, session_id: int, now: datetime) -> None:
    """Write that the session was used now; at most once a minute, whoever comes first."""
    session.execute(
        update(MemberSession)
        .where(MemberSession.id == session_id, MemberSession.seen_at <= now - SEEN_EVERY)
        .values(seen_at=now)
    )


def sessions_of(session: Session, member_id: int, now: datetime, lives: Lifetime) -> list[MemberSession]:
    """Return the member's live sessions, the last used first."""
    return list(
        session.scalars(
            select(MemberSession)
            .where(
                MemberSession.member_id == member_id,
                MemberSession.seen_at > now - lives.idle,
                MemberSession.created_at > now - lives.absolute,
            )
            .order_by(MemberSession.seen_at.desc(), MemberSession.id.desc())
        )
    )


def end(session: Session, token: str) -> None:
    """End the session of `token`; its cookie is dead."""
    session.execute(delete(MemberSession).where(MemberSession.token_hash == digest(token)))


def end_one(session: Session, member_id: int, session_id: int) -> None:
    """End one session of the member's own; raises NotFound for another's."""
    own = delete(MemberSession).where(MemberSession.member_id == member_id, MemberSession.id == session_id)
    if session.execute(own.returning(MemberSession.id)).first() is None:
        raise NotFound("This session has ended already.")


def end_all(session: Session, member_id: int) -> None:
    """Sign the member out everywhere."""
    session.execute(delete(MemberSession).where(MemberSession.member_id == member_id))


def sweep(session: Session, now: datetime, lives: Lifetime) -> None:
    """Remove sessions that are over."""
    session.execute(
        delete(MemberSession).where(
            (MemberSession.seen_at <= now - lives.idle) | (MemberSession.created_at <= now - lives.absolute)
        )
    )
