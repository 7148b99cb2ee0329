"""Accounts and users in the management API."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from trackside.api import Api, Call, Id, Page
from trackside.auth.audit import Actor, key_actor
from trackside.customers import erase as erasing
from trackside.customers import merge as merging
from trackside.customers import queries, service
from trackside.customers.kinds import ACCOUNT, USER, C, Kind
from trackside.customers.queries import Filter
from trackside.customers.shapes import (
    AccountEdit,
    AccountNew,
    AccountOut,
    AccountQuery,
    Erased,
    MergeInto,
    UserEdit,
    UserNew,
    UserOut,
    UserQuery,
)
from trackside.errors import Conflict

api = Api("customers", title="Customers")
T = TypeVar("T")
READ, WRITE = "customers:read", "customers:write"
_SEEN = datetime(2026, 11, 22, 14, 3, tzinfo=UTC)
_ACCOUNT = AccountOut(
    7, "acme", "Acme Robotics", "business", {"country": "NO"}, "usage", _SEEN, _SEEN, _SEEN, None, None
)
_USER = UserOut(42, "u_42", "Ada", "ada@acme.example", "acme", {}, "usage", _SEEN, _SEEN, _SEEN, None, None)
_ERASED = Erased(users=1)


@api.get("/accounts", scope=READ, example=Page([_ACCOUNT]))
def list_accounts(call: Call, query: AccountQuery) -> Page[AccountOut]:
    """List accounts, those seen last first; merged and erased ones are left out."""
    return _page(call, query, ACCOUNT, AccountOut.of)


@api.post("/accounts", scope=WRITE, status=201, errors=(Conflict,), example=_ACCOUNT)
def create_account(call: Call, body: AccountNew) -> AccountOut:
    """Make an account."""
    return _tagged(call, AccountOut.of, _create(call, ACCOUNT, body))


@api.get("/accounts/{account_id}", scope=READ, example=_ACCOUNT)
def get_account(call: Call, account_id: Id) -> AccountOut:
    """Get an account by its number; one that was merged says into which."""
    return _tagged(call, AccountOut.of, service.get(call.session, ACCOUNT, account_id))


@api.patch("/accounts/{account_id}", scope=WRITE, edits=True, errors=(Conflict,), example=_ACCOUNT)
def edit_account(call: Call, account_id: Id, body: AccountEdit) -> AccountOut:
    """Change an account."""
    return _tagged(call, AccountOut.of, _edit(call, ACCOUNT, account_id, body))


@api.post("/accounts/{account_id}/merge", scope=WRITE, edits=True, errors=(Conflict,), example=_ACCOUNT)
def merge_account(call: Call, account_id: Id, body: MergeInto) -> AccountOut:
    """Merge an account into another, with its users; its id leads there from then on."""
    return _tagged(call, AccountOut.of, _merge(call, ACCOUNT, account_id, body))


@api.delete("/accounts/{account_id}", scope=WRITE, edits=True, errors=(Conflict,), example=_ERASED)
def erase_account(call: Call, account_id: Id) -> Erased:
    """Erase an account and all its users for ever; totals stay, without names."""
    return _erase(call, ACCOUNT, account_id)


@api.get("/users", scope=READ, example=Page([_USER]))
def list_users(call: Call, query: UserQuery) -> Page[UserOut]:
    """List users, those seen last first; merged and erased ones are left out."""
    return _page(call, query, USER, UserOut.of, query.account_id)


@api.post("/users", scope=WRITE, status=201, errors=(Conflict,), example=_USER)
def create_user(call: Call, body: UserNew) -> UserOut:
    """Make a user."""
    return _tagged(call, UserOut.of, _create(call, USER, body))


@api.get("/users/{user_id}", scope=READ, example=_USER)
def get_user(call: Call, user_id: Id) -> UserOut:
    """Get a user by their number; one that was merged says into whom."""
    return _tagged(call, UserOut.of, service.get(call.session, USER, user_id))


@api.patch("/users/{user_id}", scope=WRITE, edits=True, errors=(Conflict,), example=_USER)
def edit_user(call: Call, user_id: Id, body: UserEdit) -> UserOut:
    """Change a user."""
    return _tagged(call, UserOut.of, _edit(call, USER, user_id, body))


@api.post("/users/{user_id}/merge", scope=WRITE, edits=True, errors=(Conflict,), example=_USER)
def merge_user(call: Call, user_id: Id, body: MergeInto) -> UserOut:
    """Merge a user into another; their id leads there from then on."""
    return _tagged(call, UserOut.of, _merge(call, USER, user_id, body))


@api.delete("/users/{user_id}", scope=WRITE, edits=True, errors=(Conflict,), example=_ERASED)
def erase_user(call: Call, user_id: Id) -> Erased:
    """Erase a user for ever; totals stay, without the name, and later telemetry counts as unknown."""
    return _erase(call, USER, user_id)


def _page(
    call: Call,
    query: AccountQuery | UserQuery,
    kind: Kind[C],
    shape: Callable[[C], T],
    account_id: int | None = None,
) -> Page[T]:
    """Return a page of a list; the list's own cursor is what the API's signed one carries."""
    after = call.after(query)
    wanted = Filter(query.search, account_id, query.plan, query.source, query.sort, str(after[0]) if after else "")
    found = queries.listed(call.session, kind, wanted, query.limit)
    return call.following(query, [shape(row) for row in found.rows], [found.next] if found.next else None)


def _tagged(call: Call, shape: Callable[[C], T], row: C) -> T:
    return call.tagged(shape(row), row.version)


def _create(call: Call, kind: Kind[C], body: AccountNew | UserNew) -> C:
    values = msgspec.structs.asdict(body)
    now = call.runtime.clock.now()
    return service.create(call.session, kind, _actor(call), values.pop("external_id"), values, now=now, source="api")


def _edit(call: Call, kind: Kind[C], row_id: int, body: AccountEdit | UserEdit) -> C:
    row = _matched(call, kind, row_id)
    values: dict[str, Any] = {n: v for n, v in msgspec.structs.asdict(body).items() if v is not UNSET}
    service.edit(call.session, row, _actor(call), values, now=call.runtime.clock.now())
    return row


def _merge(call: Call, kind: Kind[C], row_id: int, body: MergeInto) -> C:
    row = _matched(call, kind, row_id)
    target = service.get(call.session, kind, body.into)
    merging.merge(call.session, row, target, _actor(call), now=call.runtime.clock.now())
    return target


def _erase(call: Call, kind: Kind[C], row_id: int) -> Erased:
    row = _matched(call, kind, row_id)
    return Erased(erasing.erase(call.session, row, _actor(call), now=call.runtime.clock.now()))


def _matched(call: Call, kind: Kind[C], row_id: int) -> C:
    """Return the row, locked, if it is the version that the caller names (`If-Match`)."""
    row = service.get(call.session, kind, row_id, lock=True)
    call.if_match(row.version)
    return row


def _actor(call: Call) -> Actor:
    return key_actor(call.key)
