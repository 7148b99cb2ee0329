"""Customers by what people type for them."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.customers import service as customers
from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.models import Account, User
from trackside.errors import NotFound


def find_user(session: Session, text: str) -> User | None:
    """Return the user with the id or e-mail address `text`, or None; of several, who was seen last."""
    text = text.strip()
    try:
        return customers.by_external_id(session, USER, text)
    except NotFound:
        pass
    if "@" not in text:
        return None
    alive = (User.merged_into.is_(None), User.erased_at.is_(None))
    query = select(User).where(func.lower(User.email) == text.lower(), *alive)
    return session.scalar(query.order_by(User.last_seen.desc().nulls_last(), User.id).limit(1))


def find_account(session: Session, text: str) -> Account | None:
    """Return the account with the id `text`, or None."""
    try:
        return customers.by_external_id(session, ACCOUNT, text.strip())
    except NotFound:
        return None
