"""Whose usage a page asks for, and the rows of the tiers that hold it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, Subquery, and_, any_, bindparam, or_, select, true
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside_modules.usage.models import UsageEndpoint, UsageMinute
from trackside_modules.usage.storage import memory, tiers
from trackside_modules.usage.storage.tiers import Unit

_USERS: Any = bindparam("users", type_=ARRAY(BigInteger))


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose usage: an environment, and where wanted one service, endpoint, user, account, or a kind of status."""

    env_id: int
    service: str = ""
    endpoint_id: int | None = None
    user_id: int | None = None
    status: str = ""
    """`4` or `5` for a class, a whole status such as `404`, empty for all."""
    account_id: int | None = None
    users: tuple[int, ...] = ()
    """The ids of that user or account (see `known`), where they were looked up: each part of a span would again."""

    def known(self, session: Session) -> "Scope":
        """Return the same of one user or account, with the ids that its calls were ever counted under looked up."""
        query = everyone(self.user_id) if self.user_id is not None else everyone_of(self.account_id or 0)
        return replace(self, users=tuple(session.scalars(query)))

    @property
    def shape(self) -> "Scope":
        """What its statements differ by: whose users they are is the parameter `users`, where they were looked up."""
        return replace(self, user_id=None, account_id=None, users=(0,)) if self.users else self

    @property
    def given(self) -> dict[str, list[int]]:
        """The parameters of the condition."""
        return {"users": list(self.users)} if self.users else {}

    def of(self, *, endpoint_id: int | None = None, user_id: int | None = None) -> "Scope":
        """Return the same, for one endpoint or user."""
        return replace(self, endpoint_id=endpoint_id or self.endpoint_id, user_id=user_id or self.user_id)

    @property
    def by_user(self) -> bool:
        """Whether it takes rows of users: those of endpoints alone do not tell who called."""
        return self.user_id is not None or self.account_id is not None or bool(self.users)

    @property
    def only_users(self) -> bool:
        """Whether it is all that some users called, whatever and with whatever status."""
        return self.by_user and not (self.service or self.endpoint_id is not None or self.status)

    def of_endpoints(self) -> list[ColumnElement[bool]]:
        """Return the conditions on `usage_endpoint`, besides its environment."""
        found = [UsageEndpoint.service == self.service] if self.service else []
        return found + ([UsageEndpoint.id == self.endpoint_id] if self.endpoint_id is not None else [])

    def narrow(self, table: Any) -> ColumnElement[bool]:
        """Return the condition on a table of counts, besides its environment and time."""
        found: list[ColumnElement[bool]] = []
        if self.service:
            found.append(tiers.among(table.endpoint_id, of_service(self.env_id, self.service)))
        if self.endpoint_id is not None:
            found.append(table.endpoint_id == self.endpoint_id)
        if self.users:
            found.append(table.user_id == any_(_USERS))
        if self.user_id is not None and not self.users:
            found.append(tiers.among(table.user_id, everyone(self.user_id)))
        if self.account_id is not None and not self.users:
            found.append(tiers.among(table.user_id, everyone_of(self.account_id)))
        if len(self.status) == 1:
            found.append(table.status.between(int(self.status) * 100, int(self.status) * 100 + 99))
        elif self.status:
            found.append(table.status == int(self.status))
        return and_(true(), *found)

    def where(self, start: datetime, end: datetime) -> ColumnElement[bool]:
        """Return the condition on `usage_minute` for minutes in `[start, end)`."""
        mine = and_(UsageMinute.env_id == self.env_id, UsageMinute.minute >= start, UsageMinute.minute < end)
        return and_(mine, self.narrow(UsageMinute))


def rows(session: Session, scope: Scope, start: datetime, end: datetime, coarsest: Unit = "day") -> Subquery:
    """Return the rows of `[start, end)`: `by_user` where the scope is of users, else `by_endpoint` (see `tiers`)."""
    spans = tiers.parts(session, scope.env_id, start, end, coarsest)
    family = tiers.by_user if scope.by_user else tiers.by_endpoint
    return family(scope.env_id, spans, scope.narrow)


ALL_UNITS: tuple[memory.Unit, ...] = ("week", "day", "hour")


def units_for(step: timedelta) -> tuple[memory.Unit, ...]:
    """Return the hours, days and weeks that fit into steps of this length; none where they are minutes."""
    return tuple(unit for unit in ALL_UNITS if step % memory.STEPS[unit] == timedelta())


@lru_cache(maxsize=256)
def of_service(env_id: int, service: str) -> Select[int]:
    """Return the endpoints of a service."""
    return select(UsageEndpoint.id).where(UsageEndpoint.env_id == env_id, UsageEndpoint.service == service)


@lru_cache(maxsize=256)
def everyone(user_id: int) -> Select[int]:
    """Return the user with all that were merged into them: rows written before a merge keep the old number."""
    return select(User.id).where(or_(User.id == user_id, User.merged_into == user_id))


@lru_cache(maxsize=256)
def everyone_of(account_id: int) -> Select[int]:
    """Return the users of an account with all that were merged into them.

    Each by its index: with `or` PostgreSQL would look at all users there are, for each part of a span.
    """
    theirs = select(User.id).where(User.account_id == account_id, User.merged_into.is_(None))
    merged = select(User.id).where(tiers.among(User.merged_into, theirs))
    return select(theirs.union_all(merged).subquery().c.id)
