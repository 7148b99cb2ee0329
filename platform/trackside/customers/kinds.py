"""The two kinds of customer, account and user, as data: what is done to both alike is written once."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from trackside.customers.models import Account, User

Customer = Account | User
C = TypeVar("C", Account, User)


@dataclass(frozen=True, slots=True)
class Kind(Generic[C]):
    """How one kind of customer is called and which of its fields people edit."""

    name: str
    plural: str
    model: type[C]
    fields: tuple[str, ...]
    """Editable texts, besides the attributes; `account` stands for the account's external id."""

    @property
    def title(self) -> str:
        """The plural, as a page's title."""
        return self.plural.capitalize()


ACCOUNT: Kind[Account] = Kind("account", "accounts", Account, ("name", "plan"))
USER: Kind[User] = Kind("user", "users", User, ("email", "name", "account"))
KINDS: dict[str, Kind[Account] | Kind[User]] = {"account": ACCOUNT, "user": USER}


def kind_of(row: Customer) -> Kind[Account] | Kind[User]:
    """Return the kind of `row`."""
    return ACCOUNT if isinstance(row, Account) else USER
