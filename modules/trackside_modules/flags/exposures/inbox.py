"""The way of exposures into PostgreSQL: a batch is accepted when it is committed, under a name that tells a repeat."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

from trackside.db import psycopg_url
from trackside_modules.flags.exposures.entries import Entry, pack

PATIENCE = 3
"""Seconds for a connection, and for a statement."""
_PUT = """
insert into flags_exposure_batch (env_id, batch, received_at, answer, body) values (%s, %s, %s, %s, %s)
on conflict do nothing
"""
_ANSWERED = "select answer from flags_exposure_batch where env_id = %s and batch = %s"


class Overdue(psycopg.OperationalError):
    """The database did not answer in time."""


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that gives up by itself: a frozen server ignores its own statement_timeout."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Run a conversation with the database; close the connection and raise Overdue when it takes too long."""
        try:
            return super().wait(gen, interval, timeout=PATIENCE if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise Overdue("the database did not answer in time") from error


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch to accept, and how its sender will be answered."""

    env_id: int
    name: bytes
    at: datetime
    entries: list[Entry]
    answer: bytes | None = None


class Store:
    """Where batches go; one connection, made when first used, and again after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = psycopg_url(url)
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def put(self, parcels: Iterable[Parcel]) -> None:
        """Commit batches, each once however often it comes; raises psycopg.Error where PostgreSQL is away."""
        with self._lock:
            for parcel in parcels:
                self._run(parcel)

    def put_one(self, parcel: Parcel) -> tuple[bytes | None, bool]:
        """Commit a batch, and return how to answer it and whether it is a repeat, answered as the first one was."""
        with self._lock:
            if self._run(parcel):
                return parcel.answer, False
            row = self._open().execute(_ANSWERED, (parcel.env_id, parcel.name)).fetchone()
            return (bytes(row[0]) if row and row[0] is not None else parcel.answer), True

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._lose()

    def _run(self, parcel: Parcel) -> bool:
        """Return whether the batch is a new one."""
        values = (parcel.env_id, parcel.name, parcel.at, parcel.answer, pack(parcel.entries))
        try:
            return self._open().execute(_PUT, values).rowcount == 1
        except psycopg.OperationalError:
            self._lose()
            raise

    def _open(self) -> _Connection:
        if self._connection is None or self._connection.closed:
            options = f"-c statement_timeout={PATIENCE * 1000} -c timezone=UTC"
            self._connection = _Connection.connect(
                self._url, autocommit=True, connect_timeout=PATIENCE, options=options
            )
        return self._connection

    def _lose(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
