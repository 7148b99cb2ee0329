"""The fold: what was accepted is added to the exposures, and marked as counted, in one transaction.

One fold at a time works on an environment (an advisory lock that ends with the transaction). A batch that cannot be
counted is tried three times by itself, then set aside; the others are counted without it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg import Connection
from psycopg_pool import PoolTimeout

from trackside.customers.resolve import resolve_accounts, resolve_users
from trackside.runtime import Runtime
from trackside_modules.flags.exposures.entries import Entry, unpack

log = structlog.get_logger(__name__)

TRIES = 3
AT_ONCE = 20
"""Batches of one transaction."""
MOST_NEW = 100_000
"""Users made within an hour by what they call or evaluate; who comes after is nobody until the hour is over."""
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""Errors that say nothing about a batch: the database is away, restarting, or ended the statement."""

_LOCK = "select pg_try_advisory_xact_lock(%s, %s)"
_CLASS = 0x7FE0
_WAITING = """
select batch, body from flags_exposure_batch
where env_id = %(env)s and body is not null and dead_at is null and (%(only)s::bytea is null or batch = %(only)s)
order by received_at, batch limit %(limit)s
"""
_DONE = "update flags_exposure_batch set body = null where env_id = %s and batch = any(%s)"
_FAILED = """
update flags_exposure_batch set attempts = attempts + 1, error = %(error)s,
    dead_at = case when attempts + 1 >= %(tries)s then %(now)s end
where env_id = %(env)s and batch = %(batch)s and body is not null
"""
_FLAGS = "select key, id from flags_flag where key = any(%s)"
_KNOWN = "select external_id from customer_user where external_id = any(%s)"
_RECENT = "select count(*) from customer_user where source = 'usage' and created_at > now() - %s"
_ACCOUNTS = "select id, account_id from customer_user where id = any(%s) and account_id is not null"
_EXPOSED = """
insert into flags_exposure (env_id, flag_id, variant, user_id, of_account, account_id, first_seen)
select %s, it.* from unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[]) as it
on conflict (env_id, flag_id, variant, user_id, of_account) do update
set first_seen = least(flags_exposure.first_seen, excluded.first_seen),
    account_id = coalesce(flags_exposure.account_id, excluded.account_id)
where excluded.first_seen < flags_exposure.first_seen
    or (flags_exposure.account_id is null and excluded.account_id is not null)
"""
_DAYS = """
insert into flags_exposure_day (env_id, flag_id, variant, day, evaluations, last_at)
select %s, it.* from unnest(%s::bigint[], %s::text[], %s::date[], %s::bigint[], %s::timestamptz[]) as it
on conflict (env_id, flag_id, variant, day) do update
set evaluations = flags_exposure_day.evaluations + excluded.evaluations,
    last_at = greatest(flags_exposure_day.last_at, excluded.last_at)
"""
_ENVIRONMENTS = "select distinct env_id from flags_exposure_batch where body is not null and dead_at is null"

Shown = tuple[str, str]
"""Flag and variant."""


@dataclass(slots=True)
class Sums:
    """What batches come to."""

    days: dict[tuple[Shown, date], tuple[int, int]] = field(default_factory=dict)
    """Evaluations, and the last moment (milliseconds since 1970), of a variant on a day."""
    first: dict[tuple[Shown, str | None, str | None], int] = field(default_factory=dict)
    """When a user of an account was first given a variant."""

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        day = datetime.fromtimestamp(entry.at / 1000, UTC).date()
        for shown in zip(entry.shown[::2], entry.shown[1::2], strict=True):
            evaluations, last = self.days.get((shown, day), (0, 0))
            self.days[shown, day] = (evaluations + entry.count, max(last, entry.at))
            if entry.user or entry.account:
                who = (shown, entry.user, entry.account)
                self.first[who] = min(self.first.get(who, entry.at), entry.at)


def run(runtime: Runtime) -> int:
    """Count all that waits, and return how many batches that was; raises what `TRANSIENT` names."""
    with runtime.database.pool.connection() as connection:
        waiting = [env_id for (env_id,) in connection.execute(_ENVIRONMENTS)]
    return sum(_environment(runtime, env_id) for env_id in sorted(waiting))


def _environment(runtime: Runtime, env_id: int) -> int:
    total = 0
    while done := _fold(runtime, env_id):
        total += done
    return total


def _fold(runtime: Runtime, env_id: int) -> int:
    """Count the next batches, each by itself where they cannot be counted together; return how many."""
    taken: list[bytes] = []
    try:
        return _transaction(runtime, env_id, None, taken)
    except TRANSIENT:
        raise
    except Exception:
        if not taken:
            raise
    done = 0
    for batch in taken:
        try:
            done += _transaction(runtime, env_id, batch, [])
        except TRANSIENT:
            raise
        except Exception as error:
            _failed(runtime, env_id, batch, error)
    return done


def _transaction(runtime: Runtime, env_id: int, only: bytes | None, taken: list[bytes]) -> int:
    with runtime.database.pool.connection() as connection, connection.transaction():
        row = connection.execute(_LOCK, (_CLASS, env_id)).fetchone()
        if not row or not row[0]:
            return 0
        waiting = connection.execute(_WAITING, {"env": env_id, "only": only, "limit": AT_ONCE}).fetchall()
        taken += [bytes(batch) for batch, _ in waiting]
        if not waiting:
            return 0
        sums = Sums()
        for _, body in waiting:
            for entry in unpack(body):
                sums.add(entry)
        write(connection, env_id, sums)
        connection.execute(_DONE, (env_id, taken))
    return len(waiting)


def _failed(runtime: Runtime, env_id: int, batch: bytes, error: Exception) -> None:
    about = f"{type(error).__name__}: {error}".splitlines()[0][:180].replace("\x00", "")
    log.warning("flags.exposures_failed", env_id=env_id, error=type(error).__name__)
    now = runtime.clock.now()
    values = {"env": env_id, "batch": batch, "error": about, "now": now, "tries": TRIES}
    with runtime.database.pool.connection() as connection:
        connection.execute(_FAILED, values)


def write(connection: Connection[Any], env_id: int, sums: Sums) -> None:
    """Add sums within the caller's transaction; rows are written in order, so that two of them never deadlock."""
    flags = dict(connection.execute(_FLAGS, (sorted({flag for (flag, _), _ in sums.days}),)).fetchall())
    exposed = _exposed(connection, sums, flags)
    if exposed:
        connection.execute(_EXPOSED, (env_id, *map(list, zip(*exposed, strict=True))))
    days = sorted(
        (flags[flag], variant, day, evaluations, _moment(last))
        for ((flag, variant), day), (evaluations, last) in sums.days.items()
        if flag in flags
    )
    if days:
        connection.execute(_DAYS, (env_id, *map(list, zip(*days, strict=True))))


_Row = tuple[int, str, int, int, int | None, datetime]


def _exposed(connection: Connection[Any], sums: Sums, flags: dict[str, int]) -> list[_Row]:
    """Return rows of `flags_exposure`, one for each key."""
    users = _users(connection, ((user, account) for _, user, account in sums.first))
    accounts = resolve_accounts(connection, {account for _, _, account in sums.first if account})
    theirs = dict(connection.execute(_ACCOUNTS, (sorted(set(users.values())),)).fetchall())
    rows: dict[tuple[int, str, int, int], tuple[int, int | None]] = {}
    for ((flag, variant), user, account), at in sums.first.items():
        user_id = users.get(user or "", 0)
        account_id = accounts.get(account or "") or theirs.get(user_id)
        if flag not in flags or not (user_id or account_id):
            continue
        key = (flags[flag], variant, user_id, 0 if user_id else account_id or 0)
        known = rows.get(key)
        rows[key] = (at, account_id) if known is None else (min(at, known[0]), known[1] or account_id)
    return [(*key, account_id, _moment(at)) for key, (at, account_id) in sorted(rows.items())]


def _users(connection: Connection[Any], people: Iterable[tuple[str | None, str | None]]) -> dict[str, int]:
    """Return the numbers of users by their ids, made at first sight, and never without bound."""
    accounts: dict[str, str | None] = {}
    for user, account in sorted(people, key=lambda each: (each[0] or "", each[1] or "")):
        if user and not accounts.get(user):
            accounts[user] = account
    if not accounts:
        return {}
    known = {external_id for (external_id,) in connection.execute(_KNOWN, (list(accounts),))}
    fresh = [user for user in accounts if user not in known]
    if fresh:
        row = connection.execute(_RECENT, (timedelta(hours=1),)).fetchone()
        for user in fresh[max(0, MOST_NEW - (row[0] if row else 0)) :]:
            del accounts[user]
    return resolve_users(connection, accounts)


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
