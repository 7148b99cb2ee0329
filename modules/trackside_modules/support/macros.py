"""Macros: a reply with its blanks filled in, and what is done besides.

    Hello {{user.first_name}}, your key works again. Reference: {{ref}}

| variable | what |
|---|---|
| `ref`, `subject` | of the interaction |
| `user.name`, `user.first_name`, `user.email`, `user.id` | of the customer |
| `account.name`, `account.plan`, `account.id` | of their account |
| `me.name`, `me.first_name` | of the member who writes |

A variable may carry what stands in for a missing value: `{{user.first_name|there}}`. One that does not exist stays as
it is typed, so that its writer sees it.
"""

import re
from collections.abc import Mapping

from trackside.customers.models import Account, User
from trackside_modules.support.models import Interaction

_VARIABLE = re.compile(r"\{\{\s*([a-z_.]+)\s*(?:\|([^{}]*))?\}\}")
VARIABLES = (
    "ref",
    "subject",
    "user.name",
    "user.first_name",
    "user.email",
    "user.id",
    "account.name",
    "account.plan",
    "account.id",
    "me.name",
    "me.first_name",
)


def values_of(it: Interaction, user: User | None, account: Account | None, me: str) -> dict[str, str]:
    """Return what the variables stand for in an interaction, as the member called `me` writes."""
    user_name = user.name if user else ""
    return {
        "ref": it.ref,
        "subject": it.subject,
        "user.name": user_name,
        "user.first_name": user_name.split(" ")[0],
        "user.email": user.email if user else "",
        "user.id": (user.external_id if user else "") or "",
        "account.name": account.label if account else "",
        "account.plan": account.plan if account else "",
        "account.id": (account.external_id if account else "") or "",
        "me.name": me,
        "me.first_name": me.split(" ", maxsplit=1)[0],
    }


def fill(body: str, values: Mapping[str, str]) -> str:
    """Return `body` with its variables filled in."""

    def stands_for(found: re.Match[str]) -> str:
        name, otherwise = found[1], found[2]
        if name not in values:
            return found[0]
        return values[name] or (otherwise or "").strip()

    return _VARIABLE.sub(stands_for, body)
