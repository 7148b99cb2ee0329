"""Who sees what: a user or account as a context, evaluated by the very engine that answers programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.errors import InputError, NotFound
from trackside_client.flags import Result, Ruleset, check_context, parse
from trackside_client.flags.trace import Trace
from trackside_modules.flags import checking, ruleset, shape

MOST_FOUND = 8


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a flag is evaluated for, and what is known of them."""

    text: str
    """The id, as it was looked for."""
    user: User | None
    account: Account | None
    context: Mapping[str, Any]


def whom(session: Session, text: str, given: Mapping[str, Any]) -> Whom:
    """Return the user (else the account) whose id is `text` as a context; `given` attributes go before what is known.

    An id that nobody has is a user that Trackside has not met: programs may know them.
    """
    user = session.scalar(select(User).where(User.external_id == text, User.erased_at.is_(None))) if text else None
    account = session.get(Account, user.account_id) if user and user.account_id else None
    if user is None and text:
        account = session.scalar(select(Account).where(Account.external_id == text, Account.erased_at.is_(None)))
    alone = user is None and account is not None
    known = context_of(user, account) | ({} if alone or not text else {shape.USER: text})
    return Whom(text, user, account, known | dict(given))


def context_of(user: User | None, account: Account | None) -> dict[str, Any]:
    """Return what is known of a user and their account, as programs would send it."""
    found: dict[str, Any] = {}
    if account is not None and account.external_id:
        found |= account.attributes | {shape.ACCOUNT: account.external_id}
        found |= {"plan": account.plan} if account.plan else {}
    if user is not None and user.external_id:
        found |= user.attributes | {shape.USER: user.external_id}
        found |= {"email": user.email} if user.email else {}
    return found


def find(session: Session, text: str) -> list[User]:
    """Return users whose id, name or e-mail holds `text`: where it is nobody's id."""
    like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    query = (
        select(User)
        .where(User.id != 0, User.erased_at.is_(None), User.merged_into.is_(None))
        .where(or_(User.external_id.ilike(like), User.name.ilike(like), User.email.ilike(like)))
        .order_by(User.last_seen.desc().nulls_last(), User.id)
        .limit(MOST_FOUND)
    )
    return list(session.scalars(query))


def explain(session: Session, env_id: int, key: str, context: Mapping[str, Any], now: datetime) -> Trace:
    """Return why the flag `key` gives what it gives to a context at `now`: each step, and the result.

    Raises NotFound for a flag that is in no ruleset, InputError for a context that no evaluation takes.
    """
    problem = check_context(context)
    if problem:
        raise InputError(f"context: {problem}", {"context": problem})
    flags = ruleset.flags(session, env_id)
    if key not in flags:
        raise NotFound(f"There is no flag {key!r} that is not archived.")
    wanted = {key, *checking.chain(key, flags)}
    return _parsed({name: flags[name] for name in flags if name in wanted}).explain(key, context, now)


def evaluate_all(session: Session, env_id: int, context: Mapping[str, Any], now: datetime) -> list[Result]:
    """Return what every flag of an environment gives to a context, by key."""
    return _parsed(ruleset.flags(session, env_id)).evaluate_all(context, now)


def _parsed(flags: Mapping[str, Any]) -> Ruleset:
    return parse({"schema": ruleset.SCHEMA, "flags": flags}, lenient=True)
