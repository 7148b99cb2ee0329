"""Migrations go up, down and up again, agree with the tables, and wait for one another."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, text

from trackside import migrate
from trackside.errors import StartError
from trackside.registry import load_registry


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = create_engine(empty_database_url)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        query = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version'"
        return list(connection.scalars(text(query)))


def test_every_migration_goes_up_down_and_up_again(empty: Engine):
    migrate.upgrade(empty)
    first = sorted(tables(empty))
    migrate.downgrade(empty, "base")
    assert tables(empty) == []
    migrate.upgrade(empty)
    assert sorted(tables(empty)) == first


def test_tables_and_migrations_agree(empty: Engine):
    load_registry().import_models()
    migrate.upgrade(empty)
    with empty.connect() as connection:
        alembic = migrate.config()
        alembic.attributes["connection"] = connection
        command.check(alembic)


def test_two_processes_may_migrate_at_once(empty: Engine):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate.upgrade, [empty, empty]))
    assert migrate.current(empty) == migrate.head()


def test_a_missing_migration_is_told_with_the_command_to_run(empty: Engine):
    with pytest.raises(StartError, match="trackside db upgrade"):
        migrate.require_head(empty)
