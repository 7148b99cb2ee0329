"""The data folder of `trackside up`: who holds it, its secret key, and the run file for commands beside it."""

import fcntl
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from trackside.errors import StartError
from trackside.settings import RUN_FILE

_LOCK, _SECRET = "lock", "secret_key"


class DataFolder:
    """One data folder, held by one `trackside up` at a time (the kernel lets go of it whatever happens to us)."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made yet."""
        self.path = path.resolve()
        self._lock: int | None = None

    def refuse_if_held(self) -> None:
        """Raise StartError where another process holds it, saying which; makes nothing."""
        if not (self.path / _LOCK).exists():
            return
        held = os.open(self.path / _LOCK, os.O_RDWR)
        try:
            self._flock(held)
        finally:
            os.close(held)

    def hold(self, url: str) -> None:
        """Make it (private to its owner) and hold it until we end; raise StartError where that cannot be."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.path / "log").mkdir(exist_ok=True)
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(
                f"{self.path} cannot be used: {error.strerror}. Choose another folder by --data."
            ) from error
        self._flock(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, msgspec.json.encode({"pid": str(os.getpid()), "url": url}), 0)
        self._lock = lock

    def let_go(self) -> None:
        """In a forked child: give back the hold, which would outlive the supervisor otherwise."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret_key(self) -> str:
        """Return the secret key of this folder, made at random when first asked; only its owner can read it."""
        file = self.path / _SECRET
        if not file.exists():
            self._write_private(file, secrets.token_hex(32).encode())
        return file.read_text(encoding="utf-8").strip()

    def write_run_file(self, settings: Mapping[str, str]) -> None:
        """Leave `settings` for commands beside us."""
        self._write_private(self.path / RUN_FILE, msgspec.json.encode(settings))

    def remove_run_file(self) -> None:
        """Take it away: nothing runs here any more."""
        with suppress(OSError):
            (self.path / RUN_FILE).unlink()

    def _flock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"Trackside runs on {self.path} already ({_holder(lock)}). Stop it, or choose another folder by --data."
            ) from None

    def _write_private(self, file: Path, content: bytes) -> None:
        new = file.with_name(f"{file.name}.new")
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        new.replace(file)


def _holder(lock: int) -> str:
    try:
        found = msgspec.json.decode(os.pread(lock, 4096, 0), type=dict[str, str])
        return f"process {found['pid']}, {found['url']}"
    except (msgspec.MsgspecError, KeyError):
        return "it is just starting"
