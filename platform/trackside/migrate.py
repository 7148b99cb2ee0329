"""Migrations: where they are, which are missing, and running them.

Alembic is driven directly, without Flask: the supervisor, the worker and `trackside db` migrate or check alike.
An advisory lock lets only one process migrate; `lock_timeout` keeps a migration from queueing behind, and so blocking,
live traffic: it is tried again instead.
"""

import os
import time
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from trackside.errors import StartError
from trackside.registry import load_registry

LOCK_ID = 0x7261636B
TRIES = 10


def folder() -> Path:
    """Return the folder of the migrations: inside the package when installed, at the top in a checkout."""
    installed = Path(__file__).parent / "migrations"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "migrations"


def config() -> Config:
    """Return Alembic's configuration; it has no file. Installed modules bring a line of migrations of their own."""
    made = Config()
    made.set_main_option("script_location", str(folder()))
    made.set_main_option("path_separator", "os")
    brought = [_package_folder(m.migrations) for m in load_registry().modules if m.migrations]
    made.set_main_option("version_locations", os.pathsep.join([str(folder() / "versions"), *brought]))
    return made


def _package_folder(package: str) -> str:
    return str(files(package))


def head() -> str:
    """Return the newest revision that this code knows; several, with commas, where installed modules have their own."""
    return ",".join(sorted(ScriptDirectory.from_config(config()).get_heads()))


def current(engine: Engine) -> str | None:
    """Return the revision that the database has (as `head` writes it), or None when it is empty."""
    with engine.connect() as connection:
        return ",".join(sorted(MigrationContext.configure(connection).get_current_heads())) or None


def upgrade(engine: Engine, target: str = "heads") -> None:
    """Bring the database to `target`, waiting for another process that is doing the same."""
    _run(engine, target, up=True)


def downgrade(engine: Engine, target: str) -> None:
    """Take the database back to `target` (`base`: empty)."""
    _run(engine, target, up=False)


def require_head(engine: Engine) -> None:
    """Raise StartError unless the database has exactly the migrations of this code."""
    found, wanted = current(engine), head()
    if found != wanted:
        raise StartError(
            f"The database is at migration {found or 'none'}, this version needs {wanted}: run `trackside db upgrade`"
        )


def _run(engine: Engine, target: str, *, up: bool) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            with engine.connect() as connection:
                connection.execute(text("set lock_timeout = '2s'; set statement_timeout = 0"))
                connection.execute(text("select pg_advisory_lock(:id)"), {"id": LOCK_ID})
                connection.commit()
                try:
                    alembic = config()
                    alembic.attributes["connection"] = connection
                    (command.upgrade if up else command.downgrade)(alembic, target)
                    connection.commit()
                finally:
                    connection.rollback()
                    connection.execute(text("select pg_advisory_unlock(:id)"), {"id": LOCK_ID})
                    connection.execute(text("reset lock_timeout; reset statement_timeout"))
                    connection.commit()
            return
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable) or attempt == TRIES:
                raise
            time.sleep(min(0.2 * 2**attempt, 5))
