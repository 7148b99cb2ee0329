"""Reading limits and callers for the book: plain SQL, a handful of queries however many ask."""

from collections.abc import Collection
from typing import Any, Literal

from trackside.runtime import Runtime
from trackside_modules.usage.quota.rules import Limit, Policy, Who

# A limit of somebody who was merged follows them; one that the other has already comes first and stays.
_LIMITS = """
select q.id, q.env_id, q.policy, q.scope, q.shared_by, q.counts, q.kind, q.amount, q.seconds, q.burst, q.plan,
    coalesce(a.merged_into, q.account_id), coalesce(u.merged_into, q.user_id)
from usage_quota q
left join account a on a.id = q.account_id
left join customer_user u on u.id = q.user_id
order by (a.merged_into is not null or u.merged_into is not null), q.id
"""
_VERSION = "select version from usage_quota_version where id = 1"
_USERS = """
select given.external_id, target.id, company.id, coalesce(company.plan, '')
from customer_user given
join customer_user target on target.id = coalesce(given.merged_into, given.id)
left join account theirs on theirs.id = target.account_id
left join account company on company.id = coalesce(theirs.merged_into, theirs.id)
where given.external_id = any(%s) and target.id <> 0
"""
_ACCOUNTS = """
select given.external_id, null::bigint, target.id, target.plan
from account given join account target on target.id = coalesce(given.merged_into, given.id)
where given.external_id = any(%s)
"""


def policies(runtime: Runtime, known: int) -> tuple[int, dict[tuple[int, str], Policy]] | None:
    """Return the version and all limits, by environment and name; None where the version is the `known` one."""
    with runtime.database.pool.connection() as connection:
        row = connection.execute(_VERSION).fetchone()
        version = row[0] if row else 0
        if version == known:
            return None
        found: dict[tuple[int, str], Policy] = {}
        for each in connection.execute(_LIMITS):
            limit = as_limit(*each)
            found.setdefault((limit.env_id, limit.policy), Policy()).add(limit)
    return version, found


def as_limit(*row: Any) -> Limit:
    """Return a row of `usage_quota`, its columns in the order of `Limit`'s fields."""
    return Limit(*row)


def who(
    runtime: Runtime, asked: Collection[tuple[Literal["user", "account"], str]]
) -> dict[tuple[Literal["user", "account"], str], Who]:
    """Return whom ids stand for, merges followed; those that nobody has are left out."""
    found: dict[tuple[Literal["user", "account"], str], Who] = {}
    with runtime.database.pool.connection() as connection:
        users = [name for kind, name in asked if kind == "user"]
        if users:
            for name, user_id, account_id, plan in connection.execute(_USERS, (users,)):
                found["user", name] = Who(user_id, account_id, plan)
        accounts = [name for kind, name in asked if kind == "account"]
        if accounts:
            for name, _, account_id, plan in connection.execute(_ACCOUNTS, (accounts,)):
                found["account", name] = Who(None, account_id, plan)
    return found
