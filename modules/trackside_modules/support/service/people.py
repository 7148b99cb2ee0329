"""Whom an interaction is with: found among the customers by number, address or id, or made."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.customers import service as customers
from trackside.customers.kinds import ACCOUNT, USER, C, Kind
from trackside.customers.models import Account, User
from trackside.errors import InputError, NotFound
from trackside_modules.support.lookup.people import find_account, find_user
from trackside_modules.support.service import fields

_LOCK = 20_200
"""Tells the locks of new customers and references from others'."""


@dataclass(frozen=True, slots=True)
class People:
    """The user and the account of an interaction, and which of them are new."""

    user: User | None
    account: Account | None
    made_user: bool = False
    made_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Whom somebody means: see `drafts.Draft`."""

    user: str = ""
    user_id: int | None = None
    account: str = ""
    account_id: int | None = None


def find_or_make(session: Session, named: Named, who: Actor, *, now: datetime) -> People:
    """Return whom `named` means; who is not known yet is made.

    Raises InputError where nobody is named, a number is nobody's, or an id cannot be one.
    """
    account, made_account = _account(session, named, who, now)
    user, made_user = _user(session, named, account, who, now)
    if user is None and account is None:
        raise fields.wrong("user", "Say who it was: an e-mail address, a user's id, or @account.")
    if account is None and user is not None and user.account_id:
        account = session.get(Account, user.account_id)
    return People(user, account, made_user, made_account)


def alone_with(session: Session, text: str) -> None:
    """Wait until nobody else makes what is called `text`: who asks again after it finds what they made."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(text.lower(), _LOCK))))


def _account(session: Session, named: Named, who: Actor, now: datetime) -> tuple[Account | None, bool]:
    if named.account_id is not None:
        return _alive(session, ACCOUNT, named.account_id), False
    text = named.account.strip()
    if not text:
        return None, False
    found = find_account(session, text)
    if found is None:
        alone_with(session, f"account {text}")
        found = find_account(session, text)
    if found is not None:
        return found, False
    return _make(session, ACCOUNT, text, {}, who=who, now=now), True


def _user(
    session: Session, named: Named, account: Account | None, who: Actor, now: datetime
) -> tuple[User | None, bool]:
    if named.user_id is not None:
        return _alive(session, USER, named.user_id), False
    text = named.user.strip()
    if not text:
        return None, False
    found = find_user(session, text)
    if found is None:
        alone_with(session, f"user {text}")
        found = find_user(session, text)
    if found is not None:
        return found, False
    values = {"email": text} if "@" in text else {}
    if account is not None and account.external_id:
        values["account"] = account.external_id
    return _make(session, USER, text, values, who=who, now=now), True


def _alive(session: Session, kind: Kind[C], number: int) -> C:
    """Return the customer `number`, or whoever stands for them; raises InputError where there is none, or no more."""
    try:
        found = customers.get(session, kind, number)
        found = found if found.merged_into is None else customers.get(session, kind, found.merged_into)
    except NotFound as error:
        raise fields.wrong(kind.name, error.message) from error
    if found.erased_at is not None:
        raise fields.wrong(kind.name, f"This {kind.name} was erased.")
    return found


def _make(session: Session, kind: Kind[C], text: str, values: dict[str, str], *, who: Actor, now: datetime) -> C:
    try:
        return customers.create(session, kind, who, text, values, now=now, source="manual")
    except InputError as error:
        problem = next(iter(error.fields.values()), error.message)
        raise fields.wrong(kind.name, problem) from error


__all__ = ["Named", "People", "alone_with", "find_account", "find_or_make", "find_user"]
