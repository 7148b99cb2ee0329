"""Asking customers how they were helped: a link that works once, without a sign-in.

The token is 32 random bytes, kept as its SHA-256 alone. Opening the link changes nothing, so that programs that follow
the links of a mail rate nobody; a click on the page does, and after it one comment can be left for a while.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM, Actor
from trackside.auth.tokens import digest, new_token
from trackside.customers.models import User
from trackside.errors import Conflict, InputError, NotFound
from trackside.text import is_hidden
from trackside_modules.support.lookup.interactions import get
from trackside_modules.support.models import Interaction, Metric, RatingLink
from trackside_modules.support.service.asking import FRESH, asking
from trackside_modules.support.service.work import Work

LASTS = timedelta(days=30)
COMMENT_WITHIN = timedelta(hours=24)
LONGEST_COMMENT = 2000
DEMO = "demo"
"""The source of interactions with people who are not real."""
GONE = "This link was used, has expired or was never valid. Nothing is needed of you."


def recipient(session: Session, number: int, now: datetime) -> str | None:
    """Return the address to ask about the interaction `number`, None where nobody is to be asked."""
    row, how = get(session, number), asking(session)
    user = session.get(User, row.user_id) if row.user_id else None
    if not how.on or row.status not in ("solved", "closed") or row.merged_into is not None or row.csat is not None:
        return None
    if row.source == DEMO:
        return None
    if user is None or not user.email or user.erased_at is not None:
        return None
    if row.solved_at is None or now - row.solved_at > FRESH + timedelta(minutes=how.after_minutes):
        return None
    asked = (
        select(func.max(Metric.csat_asked_at))
        .join(Interaction, Interaction.id == Metric.interaction_id)
        .where(Interaction.user_id == user.id)
    )
    last = session.scalar(asked)
    own = session.scalar(select(Metric.csat_asked_at).where(Metric.interaction_id == number))
    quiet = last is not None and now - last < timedelta(days=how.quiet_days)
    return None if quiet or own is not None else user.email


def make_link(session: Session, number: int, *, who: Actor, now: datetime) -> str:
    """Return a new token by which the interaction `number` can be rated, once; raises Conflict where it was."""
    with Work.on(session, number, who, now=now) as work:
        if work.state.csat is not None:
            raise Conflict("The customer has rated this interaction already.")
        work.add("csat_asked", quiet=who is SYSTEM)
    token = new_token()
    row = RatingLink(interaction_id=number, token_digest=digest(token), sent_at=now, expires_at=now + LASTS)
    session.add(row)
    session.flush()
    return token


def find(session: Session, token: str, now: datetime, *, lock: bool = False) -> RatingLink:
    """Return the link of a token that can still be rated or commented by; raises NotFound for all others alike."""
    query = select(RatingLink).where(RatingLink.token_digest == digest(token))
    found = session.scalar(query.with_for_update() if lock else query)
    if found is None or found.expires_at < now or _spent(found, now):
        raise NotFound(GONE)
    row = session.get(Interaction, found.interaction_id)
    if row is None or row.erased or row.merged_into is not None or (row.csat is not None and found.used_at is None):
        raise NotFound(GONE)
    return found


def rate(session: Session, token: str, score: int, *, now: datetime) -> RatingLink:
    """Take a rating from 1 to 5; raises NotFound for a token that is none or was used, InputError."""
    if not 1 <= score <= 5:
        raise InputError("Choose one of the five.", {"score": "Choose one of the five."})
    link = find(session, token, now, lock=True)
    if link.used_at is not None:
        raise NotFound(GONE)
    link.used_at = now
    _say(session, link, score, "", now)
    return link


def comment(session: Session, token: str, words: str, *, now: datetime) -> None:
    """Take a comment on the rating that was just given; raises NotFound, InputError."""
    link = find(session, token, now, lock=True)
    row = get(session, link.interaction_id)
    if link.used_at is None or row.csat is None:
        raise InputError("Choose one of the five first.", {"score": "Choose one of the five first."})
    clean = "".join(each for each in words.replace("\r\n", "\n") if each == "\n" or not is_hidden(each)).strip()
    if len(clean) > LONGEST_COMMENT:
        problem = f"Use {LONGEST_COMMENT:,} characters or fewer."
        raise InputError(problem, {"comment": problem})
    link.commented_at = now
    if clean:
        _say(session, link, row.csat, clean, now)


def _say(session: Session, link: RatingLink, score: int, words: str, now: datetime) -> None:
    row = get(session, link.interaction_id)
    data: dict[str, Any] = {"score": score} | ({"comment": words} if words else {})
    with Work.on(session, row.id, SYSTEM, now=now) as work:
        work.add("csat", user_id=row.user_id, **data)


def _spent(link: RatingLink, now: datetime) -> bool:
    if link.used_at is None:
        return False
    return link.commented_at is not None or now - link.used_at > COMMENT_WITHIN
