"""What pages and API read of limits: which there are, for whom, and who crossed them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside_modules.usage.models.quota import UsageQuota, UsageQuotaCrossing
from trackside_modules.usage.quota.rules import Limit, Policy


@dataclass(frozen=True, slots=True)
class Names:
    """Accounts and users by number, to call them by their names."""

    accounts: dict[int, Account]
    users: dict[int, User]

    def of_member(self, member: str) -> Account | User | None:
        """Return whose count `member` (`a7`, `u42`) is, None for an id that nobody has."""
        kind, number = member[:1], member[1:]
        if kind == "a":
            return self.accounts.get(int(number))
        return self.users.get(int(number)) if kind == "u" else None


def names(session: Session, members: Iterable[str]) -> Names:
    """Return the accounts and users behind `members`; users come with their account."""
    accounts, users = set[int](), set[int]()
    for member in members:
        if member[:1] in "au":
            (accounts if member[0] == "a" else users).add(int(member[1:]))
    found = {each.id: each for each in session.scalars(select(User).where(User.id.in_(users)))} if users else {}
    accounts |= {each.account_id for each in found.values() if each.account_id is not None}
    companies = session.scalars(select(Account).where(Account.id.in_(accounts))) if accounts else ()
    return Names({each.id: each for each in companies}, found)


@dataclass(frozen=True, slots=True)
class Row:
    """A limit with whom it is for."""

    quota: UsageQuota
    account: Account | None
    user: User | None

    @property
    def whom(self) -> str:
        """Whom it is for, in words."""
        if self.account is not None:
            return self.account.label
        if self.user is not None:
            return self.user.label
        return f"plan {self.quota.plan}" if self.quota.scope == "plan" else "everyone"


def listed(
    session: Session, env_id: int, *, policy: str = "", after: Sequence[object] | None = None, limit: int = 0
) -> list[Row]:
    """Return the limits of an environment by policy, the less specific first; `after` is (policy, id) of the last."""
    order = (UsageQuota.policy, UsageQuota.id)
    query = (
        select(UsageQuota, Account, User)
        .outerjoin(Account, Account.id == UsageQuota.account_id)
        .outerjoin(User, User.id == UsageQuota.user_id)
        .where(UsageQuota.env_id == env_id)
        .order_by(*order)
    )
    if policy:
        query = query.where(UsageQuota.policy == policy)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*after))
    if limit:
        query = query.limit(limit)
    return [Row(quota, account, user) for quota, account, user in session.execute(query)]


def row(session: Session, quota: UsageQuota) -> Row:
    """Return a limit with whom it is for."""
    account = session.get(Account, quota.account_id) if quota.account_id is not None else None
    return Row(quota, account, session.get(User, quota.user_id) if quota.user_id is not None else None)


def as_limit(it: UsageQuota) -> Limit:
    """Return a limit as it is counted."""
    return Limit(**{name: getattr(it, name) for name in Limit.__dataclass_fields__})


def policies(rows: Iterable[Row]) -> dict[str, Policy]:
    """Return limits by the name of their policy."""
    found: dict[str, Policy] = {}
    for each in rows:
        found.setdefault(each.quota.policy, Policy()).add(as_limit(each.quota))
    return found


@dataclass(frozen=True, slots=True)
class CrossingRow:
    """A crossing with whose it was."""

    crossing: UsageQuotaCrossing
    whose: Account | User | None


def crossings(
    session: Session,
    env_id: int,
    *,
    level: int = 0,
    policy: str = "",
    after: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[CrossingRow]:
    """Return crossings, the newest first; `after` is (at, id) of the last one shown."""
    order = (UsageQuotaCrossing.at, UsageQuotaCrossing.id)
    query = select(UsageQuotaCrossing).where(UsageQuotaCrossing.env_id == env_id)
    if level:
        query = query.where(UsageQuotaCrossing.level == level)
    if policy:
        query = query.where(UsageQuotaCrossing.policy == policy)
    if after is not None:
        query = query.where(tuple_(*order) < tuple_(*after))
    rows = session.scalars(query.order_by(*(each.desc() for each in order)).limit(limit)).all()
    known = names(session, [each.member for each in rows])
    return [CrossingRow(each, known.of_member(each.member)) for each in rows]
