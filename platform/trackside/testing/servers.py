"""Throw-away servers for one test session, and databases cut from a migrated template."""

import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from trackside.embedded.postgres import Postgres

_PREFIX = "trackside-test-"
TEMPLATE = "trackside_template"
_ENOUGH = 4 * 2**30
"""Bytes free in memory; a session takes a tenth of it."""
_AHEAD = 2
"""Copies made before a test asks for them."""


@contextmanager
def session_folder(*, small: bool = False) -> Iterator[Path]:
    """Yield a private folder for this process's servers; clear away those whose process was killed.

    What stays `small`, some hundred MiB, lives in memory where the machine has enough of it.
    """
    place = _memory() if small else Path(tempfile.gettempdir())
    for old in place.glob(f"{_PREFIX}*"):
        if not _is_in_use(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path:
    """Return a folder in memory, or the usual one where there is none.

    A database is several hundred files, made and dropped for each test: that keeps a disk busy for most of the time.
    """
    memory = Path("/dev/shm")  # noqa: S108 - the folder made in it is private
    if sys.platform == "linux" and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ENOUGH:
        return memory
    return Path(tempfile.gettempdir())


def _is_in_use(folder: Path) -> bool:
    """Return whether the process named in the folder's name lives, or the folder is not ours to judge."""
    pid = folder.name.removeprefix(_PREFIX).split("-")[0]
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True


class Databases:
    """Makes and drops databases on one throw-away server.

    Copies of a template are made ahead, by a thread that drops used ones too: while a test runs on one core, PostgreSQL
    prepares for the next on another.
    """

    def __init__(self, server: Postgres) -> None:
        """Connect to `server`, which is running."""
        self._server = server
        self._numbers = count(1)
        address = server.url("postgres").replace("+psycopg", "")
        self._connection = psycopg.connect(address, autocommit=True)
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="databases")
        self._ahead: dict[str, deque[Future[str]]] = {}

    def create(self, template: str | None = None) -> str:
        """Create a database, a copy of `template` or empty, and return its name."""
        if template is None:
            return self._behind.submit(self._make, None).result()
        ahead = self._ahead.setdefault(template, deque())
        while len(ahead) <= _AHEAD:
            ahead.append(self._behind.submit(self._make, template))
        return ahead.popleft().result()

    def create_named(self, name: str, template: str | None = None) -> None:
        """Create database `name`; a copy takes about 50 ms, whatever its migrations took."""
        self._behind.submit(self._copy, name, template).result()

    def drop(self, name: str) -> None:
        """Drop database `name` soon, cutting off whoever is still connected."""
        statement = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        self._behind.submit(self._connection.execute, statement)

    def url(self, name: str) -> str:
        """Return the SQLAlchemy address of database `name`."""
        return self._server.url(name)

    def close(self) -> None:
        """Close the connection."""
        self._behind.shutdown(cancel_futures=True)
        self._connection.close()

    def _make(self, template: str | None) -> str:
        name = f"test_{next(self._numbers)}"
        self._copy(name, template)
        return name

    def _copy(self, name: str, template: str | None) -> None:
        statement = sql.SQL("create database {} template {} strategy file_copy")
        self._connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
