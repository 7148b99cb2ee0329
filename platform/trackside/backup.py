"""Backups: everything in PostgreSQL in one file, readable by its owner only, and proven readable before it counts.

pg_dump and pg_restore do the work, in PostgreSQL's custom format: a consistent picture under load, and any PostgreSQL
administrator can handle the file without us. Redis holds nothing that PostgreSQL cannot give back. What is kept as
files below the data folder goes into a tar archive beside it, `FILE.files`, where there is any.
"""

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, text

from trackside import migrate
from trackside.db import psycopg_url
from trackside.errors import Conflict, InputError, StartError
from trackside.runtime import Runtime

VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: where it is, its size in bytes, the tables in it, and the files beside it."""

    path: Path
    size: int
    tables: int
    files: int


FILES = "files"
"""The folder of the data folder whose files belong to rows: attachments. They are written once and never changed."""


def files_beside(path: Path) -> Path:
    """Return where the files of the backup at `path` are."""
    return path.with_name(path.name + ".files")


def backup(runtime: Runtime, path: Path) -> Backup:
    """Write a backup of the whole database to `path`, of files beside it (mode 0600), and check that it can be read.

    The files go second, so that each one that a row of the backup names is there. The backup appears under its name
    only when it is whole. Raises Conflict where `path` exists already, StartError where there is no fitting pg_dump or
    it fails.
    """
    for each in (path, files_beside(path)):
        if each.exists():
            raise Conflict(f"{each} is there already: choose another name, or remove it first")
    if not path.absolute().parent.is_dir():
        raise InputError(f"The folder {path.absolute().parent} does not exist: make it first")
    partial = path.with_name(path.name + ".partial")
    _private(partial)
    try:
        options = ["--format=custom", "--compress=6", "--no-owner", "--no-privileges", "--no-comments"]
        _run("pg_dump", [*options, f"--file={partial}"], runtime)
        tables = _contents(partial, runtime)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        files = _pack(runtime.settings.data.absolute() / FILES, files_beside(path))
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return Backup(path, path.stat().st_size, tables, files)


def _private(path: Path) -> None:
    """Begin a file that its owner alone can read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _pack(folder: Path, path: Path) -> int:
    """Write the files below `folder` to a tar archive at `path`, if there are any, and return how many there are."""
    names = sorted(each.relative_to(folder).as_posix() for each in folder.glob("*/*") if each.is_file())
    if not names:
        return 0
    partial, count = path.with_name(path.name + ".partial"), 0
    _private(partial)
    try:
        with partial.open("wb") as out:
            with tarfile.open(fileobj=out, mode="w") as archive:
                for name in names:
                    try:
                        archive.add(folder / name, name, recursive=False)
                    except FileNotFoundError:
                        continue  # erased meanwhile, and not to come back
                    count += 1
            os.fsync(out.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def restore(runtime: Runtime, path: Path) -> None:
    """Bring the backup at `path` into an empty database, and migrate it to this version.

    All or nothing of the database; files, where they lie beside it, go before. Members must sign in again: sessions of
    the past do not come back to life. Raises Conflict where the database holds tables already, InputError where `path`
    is not a backup.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}")
    engine = runtime.database.engine
    if _tables(engine):
        raise Conflict(
            "This database is not empty: restore into a new one, so that nothing is overwritten "
            "(`trackside up --data NEW --restore FILE` for the embedded one)"
        )
    _contents(path, runtime)
    _unpack(files_beside(path), runtime.settings.data.absolute() / FILES)
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-comments"]
    _run("pg_restore", [*options, f"--dbname={_environment(runtime)['PGDATABASE']}", str(path)], runtime)
    runtime.database.dispose()
    migrate.upgrade(engine)
    with runtime.database.session() as session:
        session.execute(text("delete from member_session"))


def _unpack(path: Path, folder: Path) -> None:
    """Bring the files of the archive at `path` below `folder`; raises InputError where it is none of ours."""
    if not path.exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                if not member.isfile():
                    raise InputError(f"{path} holds {member.name[:80]!r}, which is no file: it is no backup of ours")
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} is not a whole backup of files: {error}") from error


def _tables(engine: Engine) -> int:
    with engine.connect() as connection:
        query = "select count(*) from pg_tables where schemaname = 'public'"
        return int(connection.execute(text(query)).scalar_one())


def _contents(path: Path, runtime: Runtime) -> int:
    try:
        listing = _run("pg_restore", ["--list", str(path)], runtime)
    except StartError as error:
        raise InputError(f"{path} is not a whole backup: {error.message}") from error
    return sum(" TABLE DATA " in line for line in listing.splitlines())


def _environment(runtime: Runtime) -> dict[str, str]:
    """Return the connection as variables: on a command line other users of the machine would read the password."""
    parts = conninfo_to_dict(psycopg_url(runtime.database.url))
    given = {VARIABLES[name]: str(value) for name, value in parts.items() if name in VARIABLES and value is not None}
    return {**{k: v for k, v in os.environ.items() if not k.startswith("PG")}, **given}


def _run(program: str, arguments: list[str], runtime: Runtime) -> str:
    done = subprocess.run(
        [_find(program, _server_major(runtime.database.engine)), *arguments],
        env=_environment(runtime),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise StartError(f"{program} failed: {reason}")
    return done.stdout


def _server_major(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("show server_version_num")).scalar_one()) // 10000


def _find(program: str, server: int) -> str:
    """Return a `program` at least as new as the server: an older pg_dump refuses to work."""
    for candidate in _candidates(program):
        output = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout
        version = output.rpartition(")")[2].split(".")[0].strip().split(" ")[0]
        if version.isdigit() and int(version) >= server:
            return candidate
    raise StartError(
        f"No {program} of PostgreSQL {server} or later was found: install its client programs, or set PG_BIN"
    )


def _candidates(program: str) -> list[str]:
    folders = [os.environ.get("PG_BIN")]
    try:
        from trackside.embedded.postgres import binaries

        folders.append(str(binaries()))
    except (ImportError, StartError):
        pass
    found = [shutil.which(program, path=folder) for folder in (*folders, None) if folder or folder is None]
    return [each for each in found if each]
