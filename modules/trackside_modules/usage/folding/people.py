"""What services say of their users: names and accounts, added where nobody has said anything yet."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from trackside.customers.resolve import name_users
from trackside_modules.usage.folding import identities
from trackside_modules.usage.ingest.batch import Person, Subject


def note(connection: Connection[Any], people: Iterable[Person]) -> None:
    """Make users that are not known yet, give them the account and the name told; what is there stays."""
    told = {it.user: it for it in people}
    if not told:
        return
    numbers, _ = identities.resolve(connection, [Subject("", "", "", 0, it.user, it.account) for it in told.values()])
    name_users(connection, {numbers[user]: it.name for user, it in told.items() if it.name and user in numbers})
