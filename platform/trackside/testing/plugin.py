"""
The pytest plugin: real PostgreSQL and Valkey on unix sockets, private to this run, and what is built on them.

| fixture | scope | what |
|---|---|---|
| `postgres`, `valkey` | session | the throw-away servers |
| `database_url` | test | a fresh migrated database of its own (about 50 ms): for what commits |
| `empty_database_url` | test | one with nothing in it, for migrations |
| `session` | test | a SQLAlchemy session whose every commit is undone at the end: for services and queries |
| `redis_url`, `redis_client` | test | the session's Valkey, emptied |
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from trackside.embedded.postgres import Postgres
from trackside.embedded.valkey import Valkey
from trackside.testing.servers import TEMPLATE, Databases, session_folder


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Folder of this run's servers."""
    with session_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[Postgres]:
    """Run a throw-away PostgreSQL server."""
    server = Postgres(servers_folder, throwaway=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey(servers_folder: Path) -> Iterator[Valkey]:
    """Run a throw-away Valkey server."""
    server = Valkey(servers_folder, throwaway=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Iterator[Databases]:
    """Make databases on the throw-away server."""
    made = Databases(postgres)
    yield made
    made.close()


@pytest.fixture(scope="session")
def template_database(databases: Databases) -> str:
    """Migrate a database once, for the others to be copied from."""
    databases.create_named(TEMPLATE)
    return TEMPLATE


@pytest.fixture
def database_url(databases: Databases, template_database: str) -> Iterator[str]:
    """Address of a migrated database of the test's own."""
    name = databases.create(template_database)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """Address of an empty database of the test's own."""
    name = databases.create()
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture(scope="session")
def shared_engine(databases: Databases, template_database: str) -> Iterator[Engine]:
    """Connect to a migrated database in which nothing is ever committed."""
    name = databases.create(template_database)
    engine = create_engine(databases.url(name))
    yield engine
    engine.dispose()


@pytest.fixture
def session(shared_engine: Engine) -> Iterator[Session]:
    """Yield a session in a transaction that is rolled back; a commit inside it only ends a savepoint."""
    with shared_engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as made:
            yield made
        transaction.rollback()


@pytest.fixture
def redis_client(valkey: Valkey) -> Iterator["redis.Redis[bytes]"]:
    """Client of the session's Valkey, emptied."""
    client = redis.Redis.from_url(valkey.url())
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def redis_url(valkey: Valkey, redis_client: "redis.Redis[bytes]") -> str:
    """Address of the session's Valkey, emptied."""
    return valkey.url()
