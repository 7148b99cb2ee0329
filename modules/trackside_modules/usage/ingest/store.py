"""The door's way into PostgreSQL: few connections, each answer within a deadline, one statement a batch.

No request waits for a commit for longer than `WatchedConnection.patience`: a frozen server ignores its own
statement_timeout, so the client watches the clock itself and gives the connection up.
"""

import time
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from trackside.db import WatchedConnection, psycopg_url, watched
from trackside.errors import Unavailable
from trackside.runtime import Runtime
from trackside_modules.usage.ingest.otlp.answers import Verdict

CONNECTIONS = 5
"""As many as the threads that ingest may take of eight."""
_FRESH = 1.0
"""Seconds after its last answer that a connection is taken to be alive: asking costs as much as storing a batch."""

_STORE = """
with known as (
    insert into usage_batch (env_id, batch, received_at, rejected, message)
    values (%(env)s, %(batch)s, %(at)s, %(rejected)s, %(message)s) on conflict do nothing returning 1
)
insert into usage_inbox (env_id, batch, received_at, body) select %(env)s, %(batch)s, %(at)s, %(body)s from known
"""
_REPEATED = """
with noticed as (
    insert into usage_warning (env_id, kind, about, points, first_seen_at, last_seen_at)
    values (%(env)s, 'batch-repeated', '', 1, %(at)s, %(at)s)
    on conflict (env_id, kind, about) do update
    set points = usage_warning.points + 1, last_seen_at = excluded.last_seen_at
)
select rejected, message from usage_batch where env_id = %(env)s and batch = %(batch)s
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch to store, and how it will be answered."""

    env_id: int
    batch: bytes
    at: datetime
    body: bytes
    verdict: Verdict


def shared(runtime: Runtime) -> "Store":
    """Return the store of this process, made when first asked for: all doors share its few connections."""
    store = runtime.ports.get(Store)
    if store is None:
        made = store = Store(psycopg_url(runtime.settings.database_url))
        runtime.ports.provide(Store, lambda: made)
        runtime.closers.append(made.close)
    return store


def _check(connection: WatchedConnection) -> None:
    if time.monotonic() - connection.heard > _FRESH:
        ConnectionPool.check_connection(connection)


class Store:
    """Where the door puts batches; one for each process, connecting when first used."""

    def __init__(self, url: str) -> None:
        self._pool: ConnectionPool[WatchedConnection] = ConnectionPool(
            url,
            connection_class=WatchedConnection,
            kwargs=watched(),
            check=_check,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=1.0,
            max_waiting=CONNECTIONS,
            reconnect_timeout=5,
            open=False,
        )

    def put(self, parcel: Parcel) -> tuple[Verdict, bool]:
        """Commit a batch, and return how to answer it and whether it is a repeat (answered as the first one was).

        Raises:
            Unavailable: the database is away, slow or full, or too many wait for it. The batch may be sent again: it
                counts once, also where it was stored and only the answer was lost.

        """
        try:
            return self._put(parcel)
        except (PoolTimeout, TooManyRequests) as error:
            raise Unavailable("The database is away: send this batch again", retry_after=5) from error
        except psycopg.OperationalError as error:
            raise Unavailable("The database cannot take this batch now: send it again", retry_after=3) from error

    def _put(self, parcel: Parcel) -> tuple[Verdict, bool]:
        self._pool.open()
        values = {
            "env": parcel.env_id,
            "batch": parcel.batch,
            "at": parcel.at,
            "rejected": parcel.verdict.rejected,
            "message": parcel.verdict.message,
            "body": parcel.body,
        }
        with self._pool.connection() as connection:
            stored = connection.execute(_STORE, values).rowcount
            connection.heard = time.monotonic()
            if stored:
                return parcel.verdict, False
            row = connection.execute(_REPEATED, values).fetchone()
        return (Verdict(row[0], row[1]) if row else parcel.verdict), True

    def close(self) -> None:
        """Give back every connection."""
        self._pool.close()
