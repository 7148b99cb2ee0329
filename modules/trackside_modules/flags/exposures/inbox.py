"""The way of exposures into PostgreSQL: a batch is accepted when it is committed, under a name that tells a repeat."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import psycopg

from trackside.db import WatchedConnection, psycopg_url, watched
from trackside_modules.flags.exposures.entries import Entry, pack

_PUT = """
insert into flags_exposure_batch (env_id, batch, received_at, answer, body) values (%s, %s, %s, %s, %s)
on conflict do nothing
"""
_ANSWERED = "select answer from flags_exposure_batch where env_id = %s and batch = %s"


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
        self._connection: WatchedConnection | None = None

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

    def _open(self) -> WatchedConnection:
        if self._connection is None or self._connection.closed:
            self._connection = WatchedConnection.connect(self._url, **watched())
        return self._connection

    def _lose(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
