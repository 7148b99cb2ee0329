"""Users and accounts of a batch, by number: known by the kernel, made at first sight, and never without bound."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from trackside.customers.resolve import resolve_users, touch_users
from trackside_modules.usage.ingest.batch import Subject
from trackside_modules.usage.storage.counts import Counts, seen_by_user

MOST_NEW = 100_000
"""Users made within an hour; what comes after counts as nobody until the hour is over."""

_KNOWN = "select external_id from customer_user where external_id = any(%s)"
_RECENT = "select count(*) from customer_user where source = 'usage' and created_at > now() - %s"


def resolve(
    connection: Connection[Any], subjects: Iterable[Subject], most: int = MOST_NEW
) -> tuple[dict[str, int], int]:
    """Return the numbers of the users in `subjects`, and how many were not made for want of room."""
    accounts: dict[str, str | None] = {}
    for it in sorted(subjects, key=lambda subject: (subject.user, subject.account)):
        if it.user and not accounts.get(it.user):
            accounts[it.user] = it.account or None
    if not accounts:
        return {}, 0
    known = {external_id for (external_id,) in connection.execute(_KNOWN, (list(accounts),))}
    fresh = [user for user in accounts if user not in known]
    over: list[str] = []
    if fresh:
        row = connection.execute(_RECENT, (timedelta(hours=1),)).fetchone()
        over = fresh[max(0, most - (row[0] if row else 0)) :]
        for user in over:
            del accounts[user]
    return resolve_users(connection, accounts), len(over)


def touch(connection: Connection[Any], counts: Counts, now: datetime) -> None:
    """Note from when to when users were seen; a row of the minute that is not over yet was seen now."""
    spans: dict[int, tuple[datetime, datetime]] = {}
    for user, (first, last) in seen_by_user(counts).items():
        spans[user] = (datetime.fromtimestamp(first, UTC), min(now, datetime.fromtimestamp(last + 60, UTC)))
    touch_users(connection, spans)
