"""What the management API takes and gives of accounts and users."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trackside.api import Id, Input, Paged
from trackside.customers.models import Account, User

ExternalId = Annotated[
    str, Meta(min_length=1, max_length=200, description="As your API sends it; cannot be changed, only merged")
]
Attributes = dict[str, str]
Sort = Annotated[
    str,
    Meta(max_length=20, description="`seen`, `first`, `created`, `name` or `id`, with a leading `-` for descending"),
]


class AccountOut(msgspec.Struct):
    """A customer (company) of the API."""

    id: int
    external_id: str | None
    """Null once erased."""
    name: str
    plan: str
    attributes: Attributes
    source: str
    created_at: datetime
    first_seen: datetime | None
    last_seen: datetime | None
    merged_into: int | None
    erased_at: datetime | None

    @classmethod
    def of(cls, row: Account) -> "AccountOut":
        """Return `row` as the API shows it."""
        return cls(**{name: getattr(row, name) for name in cls.__struct_fields__})


class UserOut(msgspec.Struct):
    """A person or key of an account."""

    id: int
    external_id: str | None
    """Null once erased."""
    name: str
    email: str
    account: str | None
    """The account's external id."""
    attributes: Attributes
    source: str
    created_at: datetime
    first_seen: datetime | None
    last_seen: datetime | None
    merged_into: int | None
    erased_at: datetime | None

    @classmethod
    def of(cls, row: User) -> "UserOut":
        """Return `row` as the API shows it."""
        own = {name: getattr(row, name) for name in cls.__struct_fields__ if name != "account"}
        return cls(account=row.account.external_id if row.account else None, **own)


class AccountQuery(Paged):
    """Which accounts, in which order."""

    search: Annotated[str, Meta(max_length=200, description="Part of an id or name")] = ""
    plan: Annotated[str, Meta(max_length=100)] = ""
    source: Annotated[str, Meta(max_length=20)] = ""
    sort: Sort = "-seen"


class UserQuery(Paged):
    """Which users, in which order."""

    search: Annotated[str, Meta(max_length=200, description="Part of an id, name or email")] = ""
    account_id: Annotated[Id | None, Meta(description="Only users of this account, by its number")] = None
    plan: Annotated[str, Meta(max_length=100, description="Only users whose account has this plan")] = ""
    source: Annotated[str, Meta(max_length=20)] = ""
    sort: Sort = "-seen"


class AccountNew(Input):
    """An account to make."""

    external_id: ExternalId
    name: str = ""
    plan: str = ""
    attributes: Attributes = msgspec.field(default_factory=dict)


class AccountEdit(Input):
    """What changes; fields that are not sent stay as they are. `attributes` replaces all of them."""

    name: str | UnsetType = UNSET
    plan: str | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET


class UserNew(Input):
    """A user to make; `account` is the external id of an account that exists."""

    external_id: ExternalId
    name: str = ""
    email: str = ""
    account: str = ""
    attributes: Attributes = msgspec.field(default_factory=dict)


class UserEdit(Input):
    """What changes; fields that are not sent stay as they are. An empty `account` takes the user out of theirs."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    account: str | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET


class MergeInto(Input):
    """Which one stays."""

    into: Id


class Erased(msgspec.Struct):
    """What was erased."""

    users: int
