"""The database: one engine, typed tables, sessions that publish their events after commit.

Web requests use `db.session` (Flask-SQLAlchemy's, one per request); jobs, commands and the lane use
`runtime.database.session()` or its psycopg `pool`. All of them share the same settings.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Any

import psycopg
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from psycopg import Connection
from psycopg.abc import RV, PQGen
from psycopg_pool import ConnectionPool
from sqlalchemy import BigInteger, DateTime, Engine, MetaData, Text, create_engine
from sqlalchemy import event as sa_event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase, Session, registry, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from trackside.events import EventBus
from trackside.ports import Ports

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


RESTED = 5.0
"""Seconds after which a connection that lay unused is asked whether it lives: a router in between may have cut it."""
_LEFT = "trackside.left"


class Base(DeclarativeBase):
    """The root of every table: text is TEXT, times are timestamptz, ids are bigint, dicts are jsonb."""

    # An explicit registry: Flask-SQLAlchemy 3.1 ignores `type_annotation_map` on its own db.Model.
    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={
            str: Text(),
            int: BigInteger(),
            datetime: DateTime(timezone=True),
            dict[str, Any]: JSONB(),
            list[str]: JSONB(),
        },
    )


def psycopg_url(url: str) -> str:
    """Return `url` as psycopg itself takes it, without SQLAlchemy's driver suffix."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


class Overdue(psycopg.OperationalError):
    """The database did not answer in time."""


class WatchedConnection(Connection[tuple[Any, ...]]):
    """A connection that gives up by itself: a frozen server ignores its own statement_timeout."""

    patience = 3.0
    """Seconds from the first byte sent to the answer."""
    heard = 0.0
    """When it last answered, by the monotonic clock, as its owner notes it."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Run a conversation with the database; close the connection and raise Overdue when it takes too long."""
        try:
            return super().wait(gen, interval, timeout=self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise Overdue("the database did not answer in time") from error


def watched() -> dict[str, Any]:
    """Return how a `WatchedConnection` connects: autocommit, and nothing waits longer than its patience."""
    patience = WatchedConnection.patience
    return {"autocommit": True, "connect_timeout": max(1, int(patience)), "options": _options(patience)}


def _options(statement_timeout: float) -> str:
    return f"-c statement_timeout={int(statement_timeout * 1000)} -c timezone=UTC"


class Database:
    """The engine, its session factory and the lane's own small pool, for one process.

    Args:
        url: `postgresql+psycopg://...`, as `Settings.database_url` has it.
        events: the bus that sessions publish to after commit.
        ports: what sessions ask other modules by.
        size: connections the engine keeps.
        statement_timeout: seconds after which PostgreSQL ends a statement; keep it under a job's timeout.

    """

    def __init__(
        self,
        url: str,
        events: EventBus,
        *,
        ports: Ports | None = None,
        size: int = 8,
        statement_timeout: float = 30,
    ) -> None:
        self.url = url
        self.events = events
        self.ports = ports or Ports()
        self._options = _options(statement_timeout)
        self.engine: Engine = create_engine(
            make_url(url),
            pool_size=size,
            max_overflow=4,
            pool_timeout=5,
            # what is logged of a failed statement must not hold customers' data
            hide_parameters=True,
            connect_args={"connect_timeout": 5},
        )
        sa_event.listen(self.engine, "do_connect", self._add_options)
        sa_event.listen(self.engine, "connect", _note_rest)
        sa_event.listen(self.engine, "checkin", _note_rest)
        sa_event.listen(self.engine, "checkout", self._look)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._pool: ConnectionPool[Connection[tuple[Any, ...]]] | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session that commits at the end, or rolls back when the block raises."""
        with self.sessions() as session:
            self.attach(session)
            with session.begin():
                yield session

    def attach(self, session: Session) -> None:
        """Make `session` announce to our bus and ask by our ports."""
        self.events.attach(session)
        self.ports.attach(session)

    @property
    def pool(self) -> ConnectionPool[Connection[tuple[Any, ...]]]:
        """The lane's psycopg pool, opened when first used: SQLAlchemy's overhead is too dear there."""
        if self._pool is None:
            self._pool = ConnectionPool(
                psycopg_url(self.url),
                min_size=1,
                max_size=8,
                kwargs={"options": self._options, "connect_timeout": 5, "autocommit": True},
                check=ConnectionPool.check_connection,
                # The default of 300 s made a recovery 12 s late after an outage of 45 s.
                reconnect_timeout=5,
                timeout=5,
                open=True,
            )
        return self._pool

    def _add_options(self, _dialect: Any, _record: Any, _args: Any, params: dict[str, Any]) -> None:
        params["options"] = self._options

    def _look(self, connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        """Ask a connection whether it lives before it is used, where there is reason to: that is a round trip."""
        rested = monotonic() - record.info[_LEFT] > RESTED
        if (rested or _has_news(connection)) and not self._answers(connection):
            raise InvalidatePoolError  # this one and those before it are made anew

    def _answers(self, connection: Any) -> bool:
        try:
            return self.engine.dialect.do_ping(connection)
        except self.engine.dialect.dbapi.Error:  # type: ignore[union-attr]
            return False

    def forked(self, statement_timeout: float) -> None:
        """In a fresh child: leave the parent's connections to it, and let statements run `statement_timeout` s."""
        self._options = _options(statement_timeout)
        self.engine.dispose(close=False)
        self._pool = None

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _note_rest(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info[_LEFT] = monotonic()


def _has_news(connection: Any) -> bool:
    """Whether the server said anything since the last answer: a goodbye most of all."""
    if connection.closed:
        return True
    watched = select.poll()  # `select` itself takes no file number above 1023
    watched.register(connection.fileno(), select.POLLIN)
    return bool(watched.poll(0))


class _SharedEngine(SQLAlchemy):
    """Flask-SQLAlchemy on the engine that the runtime already has."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        runtime = app.extensions["trackside"]
        engine: Engine = runtime.database.engine
        return engine


db = _SharedEngine(metadata=Base.metadata, session_options={"expire_on_commit": False})
