"""Make `.venv` ready for one of the locks: what `bin/up`, `bin/test` and `bin/check` do first.

Standard library only; it needs Python 3.11 or newer and a network the first time. Stamps in `.venv/.stamps` hold
hashes of what was installed, so that a repeat takes milliseconds. Written so that an old Python can read it far
enough to say what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
CLIENT = ROOT / "clients/python"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".stamps"
STARTED = "UP_STARTED_AT"
_NEWEST_FIRST = ("python3.14", "python3.13", "python3.12", "python3.11")


def run(lock: str, program: str, *argv: str) -> NoReturn:
    """Make the environment of `requirements/LOCK.lock`, then become `program` of that environment."""
    start()
    prepare(lock)
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["VIRTUAL_ENV"] = str(VENV)
    # Some machines switch bytecode off for all: each start of a process then compiles what it imports, for seconds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.stdout.flush()
    os.execv(VENV / "bin" / program, [program, *argv])


def start() -> None:
    """Begin to count the seconds that progress lines show, unless a command before us has."""
    os.environ.setdefault(STARTED, repr(time.time()))


def prepare(lock: str) -> None:
    """Bring `.venv` to the state of the lock and of this checkout; only what has changed is done."""
    _require_new_python()
    # Two of our commands in a fresh clone take turns; the kernel lets go of the lock whatever happens to us.
    guard = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(guard, fcntl.LOCK_EX)
    try:
        _make_venv()
        requirements = ROOT / "requirements" / f"{lock}.lock"
        if _is_stale(lock, requirements):
            say(f"installing the packages of {requirements.relative_to(ROOT)} (downloads them the first time)")
            # Compiled once here: else every process of the first start would do it, all at the same time.
            _install("--compile-bytecode", "--require-hashes", "-r", str(requirements))
            _stamp(lock, requirements)
        sources = (ROOT / "pyproject.toml", ROOT / "hatch_build.py", CLIENT / "pyproject.toml")
        if _is_stale("project", *sources) or not (ROOT / "platform/trackside/static/vendor/.stamp").exists():
            say("building Trackside and its front-end files")
            _install("--no-build-isolation", "--no-deps", "-e", str(ROOT), "-e", str(CLIENT))
            _stamp("project", *sources)
    finally:
        os.close(guard)


def say(text: str) -> None:
    """Print a line of progress, with the seconds since the command began."""
    seconds = time.time() - float(os.environ[STARTED])
    print(f"{seconds:5.1f} s  {text}", flush=True)


def fail(text: str) -> NoReturn:
    """Print one line of what is wrong and what to do, and leave with exit code 1."""
    sys.stdout.flush()
    raise SystemExit(f"trackside: {text}")


def _require_new_python() -> None:
    """Start again under a newer Python where this one is too old, or say what to install."""
    if sys.version_info >= (3, 11):  # noqa: UP036 - this file alone may meet an older one
        return
    for name in _NEWEST_FIRST:
        path = shutil.which(name)
        if path:
            os.execv(path, [path, *sys.argv])
    fail(f"this is Python {sys.version.split()[0]}; Trackside needs 3.11 or newer. Install it, then try again.")


def _make_venv() -> None:
    """Create `.venv` with uv in it, unless it is there, whole, and made for this very folder."""
    mark = STAMPS / "venv"
    if mark.exists() and mark.read_text() == str(VENV) and PYTHON.exists():
        return
    if mark.exists() or not PYTHON.exists():  # one that somebody made without us, and works, is theirs to choose
        say(f"making .venv with Python {sys.version.split()[0]}")
        clear = ["--clear"] if VENV.exists() else []
        _call([sys.executable, "-m", "venv", "--without-pip", *clear, str(VENV)])
    if _uv() is None:
        _install_uv()
    STAMPS.mkdir(exist_ok=True)
    mark.write_text(str(VENV))


def _uv() -> str | None:
    """Return uv's path: the environment's own, or one installed on this machine."""
    own = VENV / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv")


def _install_uv() -> None:
    """Put uv into `.venv` by whichever pip there is; none of them touches the system's packages."""
    say("fetching uv, the installer")
    wanted = [
        "install",
        "-q",
        "--disable-pip-version-check",
        "--require-hashes",
        "-r",
        str(ROOT / "requirements/uv.lock"),
    ]
    if _works([sys.executable, "-m", "pip", "--version"]):
        _call([sys.executable, "-m", "pip", "--python", str(PYTHON), *wanted])
    elif _works([str(PYTHON), "-m", "ensurepip"]):
        _call([str(PYTHON), "-m", "pip", *wanted])
    else:
        fail(
            "this Python has neither pip nor ensurepip, so nothing can be installed. "
            "On Debian and Ubuntu: `apt install python3-venv`. Then try again."
        )


def _install(*arguments: str) -> None:
    """Install into `.venv` by uv."""
    uv = _uv()
    if uv is None:
        shutil.rmtree(STAMPS, ignore_errors=True)
        fail("uv has gone from .venv; run this again to get it back.")
    _call([uv, "pip", "install", "-q", "--python", str(PYTHON), *arguments])


def _call(command: list[str]) -> None:
    """Run `command`; where it fails its own words are on the screen, and ours say what to do."""
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        fail(f"this did not work: {' '.join(command)}. The lines above say why; mend that and run this again.")


def _works(command: list[str]) -> bool:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def _is_stale(name: str, *files: Path) -> bool:
    stamp = STAMPS / name
    return not stamp.exists() or stamp.read_text() != _digest(files)


def _stamp(name: str, *files: Path) -> None:
    (STAMPS / name).write_text(_digest(files))


def _digest(files: tuple[Path, ...]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
