"""What a page calls the users, members and topics that a history names by number: a query each."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.customers.models import User
from trackside_modules.support.models import Topic


def members(session: Session, ids: Iterable[int | None]) -> dict[int, str]:
    """Return what the members `ids` are called."""
    wanted = {each for each in ids if each is not None}
    if not wanted:
        return {}
    found = session.execute(select(Member.id, Member.name, Member.email).where(Member.id.in_(wanted)))
    return {member_id: name or email for member_id, name, email in found}


def topics(session: Session, ids: Iterable[int | None]) -> dict[int, str]:
    """Return what the topics `ids` are called; a merged one by the name of the one that stands for it."""
    wanted = {each for each in ids if each is not None}
    if not wanted:
        return {}
    found = {row.id: row for row in session.scalars(select(Topic).where(Topic.id.in_(wanted)))}
    into = {row.merged_into for row in found.values()} - {None}
    targets = dict(session.execute(select(Topic.id, Topic.name).where(Topic.id.in_(into))).all()) if into else {}
    return {topic_id: targets.get(row.merged_into or 0, row.name) for topic_id, row in found.items()}


def users(session: Session, ids: Iterable[int | None]) -> dict[int, str]:
    """Return what the users `ids` are called."""
    wanted = {each for each in ids if each is not None}
    if not wanted:
        return {}
    return {row.id: row.label for row in session.scalars(select(User).where(User.id.in_(wanted)))}
