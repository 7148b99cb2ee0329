"""From the ids in telemetry to our rows: a set at a time, inside the caller's transaction.

Both functions make rows on first sight, follow merges, and leave the erased alone (their tombstones answer). Several
processes may resolve the same ids at once: rows are written in the order of their ids, so they wait, never deadlock.
They expect PostgreSQL's default isolation, read committed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier, Literal

from trackside.customers.fields import LENGTHS
from trackside.customers.identity import SALT_KEY, clean, forbidden
from trackside.customers.models import UNKNOWN_USER

TOUCH_EVERY = timedelta(minutes=1)
"""`last_seen` is written again only when it is older than this: folds run every second, people look by the minute."""

_Connection = Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Found:
    id: int
    account_id: int | None
    erased: bool


def resolve_accounts(
    connection: _Connection, external_ids: Iterable[str], *, source: str = "usage"
) -> dict[str, int | None]:
    """Return the account of each of `external_ids`, making those not seen before.

    None stands for an id that is refused (see `identity`) or was erased.
    """
    wanted = {raw: clean(raw) for raw in external_ids}
    ids = sorted({each for each in wanted.values() if each is not None})
    found = _find(connection, "account", ids)
    missing = [each for each in ids if each not in found]
    if missing:
        _insert(connection, "account", missing, source)
        found |= _find(connection, "account", missing)
    return {raw: _account_of(found.get(each or "")) for raw, each in wanted.items()}


def resolve_users(connection: _Connection, users: Mapping[str, str | None], *, source: str = "usage") -> dict[str, int]:
    """Return the user of each id in `users`, which maps a user's id to its account's id where that is known.

    New users are made, with their account. A user without an account gets the one given here; one that has an account
    keeps it (a member or an import moves it). An id that is refused or was erased becomes `UNKNOWN_USER`.
    """
    accounts = resolve_accounts(connection, {each for each in users.values() if each}, source=source)
    wanted = {raw: clean(raw) for raw in users}
    belongs = {each: accounts.get(users[raw] or "") for raw, each in sorted(wanted.items()) if each is not None}
    ids = sorted(belongs)
    found = _find(connection, "customer_user", ids)
    missing = [each for each in ids if each not in found]
    if missing:
        _insert(connection, "customer_user", missing, source)
        found |= _find(connection, "customer_user", missing)
    _link(
        connection, {found[each].id: account for each, account in belongs.items() if _lacks(found.get(each), account)}
    )
    return {raw: _user_of(found.get(each or "")) for raw, each in wanted.items()}


def touch_users(connection: _Connection, seen: Mapping[int, tuple[datetime, datetime]]) -> None:
    """Note from when to when users, and so their accounts, were seen; what lies within the known span does nothing."""
    ids = sorted(set(seen) - {UNKNOWN_USER})
    if not ids:
        return
    firsts, lasts = ([seen[each][side] for each in ids] for side in (0, 1))
    accounts = connection.execute(
        """
        with stale as (
            select u.id, w.first, w.last
            from unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) as w (id, first, last)
            join customer_user u on u.id = w.id
            where u.last_seen is null or u.last_seen < w.last - %s or u.first_seen > w.first
            order by u.id for no key update of u
        ), touched as (
            update customer_user u
            set last_seen = greatest(u.last_seen, stale.last), first_seen = least(u.first_seen, stale.first)
            from stale where u.id = stale.id
            returning u.account_id, stale.first, stale.last
        )
        select account_id, min(first), max(last) from touched where account_id is not null group by account_id
        """,
        (ids, firsts, lasts, TOUCH_EVERY),
    ).fetchall()
    if accounts:
        connection.execute(
            """
            with stale as (
                select a.id, w.first, w.last
                from unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) as w (id, first, last)
                join account a on a.id = w.id order by a.id for no key update of a
            )
            update account a
            set last_seen = greatest(a.last_seen, stale.last), first_seen = least(a.first_seen, stale.first)
            from stale where a.id = stale.id
            """,
            tuple(map(list, zip(*accounts, strict=True))),
        )


def name_users(connection: _Connection, names: Mapping[int, str]) -> None:
    """Give users without a name the one that telemetry tells; a name that is there stays, whoever wrote it."""
    told = {each: name.strip()[: LENGTHS["name"]] for each, name in names.items() if each != UNKNOWN_USER}
    ids = sorted(each for each, name in told.items() if name and not forbidden(name))
    if ids:
        connection.execute(
            """
            with bare as (
                select u.id, w.name from unnest(%s::bigint[], %s::text[]) as w (id, name)
                join customer_user u on u.id = w.id where u.name = '' and u.erased_at is null
                order by u.id for no key update of u
            )
            update customer_user u set name = bare.name, version = u.version + 1 from bare where u.id = bare.id
            """,
            (ids, [told[each] for each in ids]),
        )


def _find(connection: _Connection, table: str, ids: list[str]) -> dict[str, _Found]:
    account = SQL("target.account_id" if table == "customer_user" else "null::bigint")
    query = SQL(
        "select given.external_id, target.id, {account}, target.erased_at is not null from {table} given"
        " join {table} target on target.id = coalesce(given.merged_into, given.id)"
        " where given.external_id = any(%s)"
    ).format(account=account, table=Identifier(table))
    return {each: _Found(*rest) for each, *rest in connection.execute(query, (ids,))}


def _insert(connection: _Connection, table: str, ids: list[str], source: str) -> None:
    """Make a row for each of `ids`, in order, but for the erased and those someone else makes at this moment."""
    connection.execute(_insert_query(table), (source, ids, SALT_KEY))


def _insert_query(table: str) -> Composed:
    return SQL(
        "insert into {table} (external_id, source)"
        " select wanted.id, %s from unnest(%s::text[]) with ordinality as wanted (id, place)"
        " where not exists (select from customer_tombstone t where t.kind = {kind} and t.hash ="
        " sha256(convert_to((select value from workspace_fact where key = %s) || wanted.id, 'UTF8')))"
        " order by wanted.place on conflict (external_id) do nothing"
    ).format(table=Identifier(table), kind=Literal("user" if table == "customer_user" else "account"))


def _lacks(found: _Found | None, account: int | None) -> bool:
    return found is not None and found.account_id is None and account is not None and not found.erased


def _link(connection: _Connection, accounts: Mapping[int, int | None]) -> None:
    """Give users without an account theirs."""
    if accounts:
        ids = sorted(accounts)
        connection.execute(
            """
            with bare as (
                select u.id, w.account_id from unnest(%s::bigint[], %s::bigint[]) as w (id, account_id)
                join customer_user u on u.id = w.id where u.account_id is null
                order by u.id for no key update of u
            )
            update customer_user u set account_id = bare.account_id from bare where u.id = bare.id
            """,
            (ids, [accounts[each] for each in ids]),
        )


def _account_of(found: _Found | None) -> int | None:
    return None if found is None or found.erased else found.id


def _user_of(found: _Found | None) -> int:
    return UNKNOWN_USER if found is None or found.erased else found.id
