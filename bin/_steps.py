"""The steps of `bin/check`, each a function that raises subprocess.CalledProcessError or says what is wrong.

All of them run, also after one has failed: one round tells everything that is to be mended.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from _bootstrap import CLIENT, PYTHON, ROOT, VENV, say

READY = re.compile(r"^READY (http://\S+)$", re.MULTILINE)


def run(names: Sequence[str]) -> int:
    """Run the steps called `names` (default: all); return the exit code."""
    unknown = sorted(set(names) - set(STEPS))
    if unknown:
        print(f"no such step: {', '.join(unknown)}; there are: {', '.join(STEPS)}")
        return 2
    failed = [name for name in names or STEPS if not _passes(name)]
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def _passes(name: str) -> bool:
    say(f"== {name}: {(STEPS[name].__doc__ or '').strip()}")
    try:
        STEPS[name]()
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        say(f"== {name} failed: {error}")
        return False
    return True


def lint() -> None:
    """Format and lint by ruff."""
    _tool("ruff", "format", "--check", ".")
    _tool("ruff", "check", ".")


def imports() -> None:
    """Check the import contracts of pyproject.toml."""
    _tool("lint-imports")


def types() -> None:
    """Types by mypy (strict) and pyright."""
    try:
        _tool("mypy")
    finally:
        _tool("pyright")


def templates() -> None:
    """Every template compiles, includes only what is there, and is tidy."""
    _call(str(PYTHON), str(ROOT / "bin/_templates.py"))
    _tool("djlint", "--lint", "--quiet", *map(str, _template_folders()))


def migrations() -> None:
    """Models and migrations agree; up, down to nothing, and up again."""
    _tool("pytest", "-q", "tests/kernel/test_migrate.py")


def tests() -> None:
    """The README's test command, with branch coverage."""
    _call(str(ROOT / "bin/test"), "--cov", "--cov-branch", "--cov-report=term:skip-covered", "-q")


def wheel() -> None:
    """Build both wheels, install each into an environment of its own, and start the server from another folder."""
    with tempfile.TemporaryDirectory(prefix="trackside-wheel-") as folder:
        _tool("python", "-m", "build", "--wheel", "--no-isolation", "-o", folder)
        built = next(Path(folder).glob("*.whl"))
        clean = Path(folder) / "venv"
        client = _client_wheel(Path(folder) / "client")
        install = _fresh(clean)
        _call(*install, "--require-hashes", "-r", str(ROOT / "requirements/up.lock"))
        _call(*install, "--no-deps", str(built), str(client))
        _start(clean / "bin/trackside", Path(folder) / "elsewhere")


def _client_wheel(folder: Path) -> Path:
    """Build the client's wheel, import it where nothing else is installed, and return it."""
    _tool("python", "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(CLIENT))
    built = next(folder.glob("*.whl"))
    _call(*_fresh(folder / "venv"), "--no-deps", str(built))
    code = "from trackside_client.usage import UsageASGI, UsageWSGI; print('the client imports by itself')"
    _call(str(folder / "venv/bin/python"), "-I", "-c", code)
    return built


def _fresh(clean: Path) -> list[str]:
    """Make an environment with nothing in it; return the command that installs into it."""
    uv = str(VENV / "bin/uv") if (VENV / "bin/uv").exists() else shutil.which("uv") or "uv"
    _call(uv, "venv", "-q", str(clean), "--python", str(PYTHON))
    return [uv, "pip", "install", "-q", "--python", str(clean / "bin/python")]


def _start(program: Path, folder: Path) -> None:
    """Start the installed `trackside up` in `folder`, ask whether it lives, and stop it."""
    from urllib.request import urlopen

    folder.mkdir()
    _call(str(program), "--version", cwd=folder)
    command = [str(program), "up", "--no-demo", "--port", str(_free_port()), "--data", str(folder / "data")]
    output = folder / "output"
    with output.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=_clean())
    try:
        deadline = time.monotonic() + 300
        while not (found := READY.search(output.read_text())):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not become ready:\n{output.read_text()}")
            time.sleep(0.1)
        with urlopen(f"{found[1]}/healthz", timeout=60) as answer:
            print(f"{found[1]}/healthz answers {answer.status}: {json.dumps(answer.read().decode()[:80])}")
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    """Return a port that is free, most likely the next one too: the stream's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _template_folders() -> list[Path]:
    return sorted([*ROOT.glob("platform/**/templates"), *ROOT.glob("modules/**/templates")])


def _tool(name: str, *arguments: str) -> None:
    """Run a program of the environment."""
    _call(str(VENV / "bin" / name), *arguments)


def _call(*command: str, cwd: Path = ROOT) -> None:
    print(f"$ {' '.join(command).replace(f'{ROOT}/', '')}", flush=True)
    subprocess.run(command, cwd=cwd, check=True, stdin=subprocess.DEVNULL, env=_clean())


def _clean() -> dict[str, str]:
    """Return our environment without settings of a Trackside that runs here, and with the tools' folder first."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("TRACKSIDE_") and k not in {"DATABASE_URL", "REDIS_URL"}
    }
    return kept | {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


STEPS: dict[str, Callable[[], None]] = {
    step.__name__: step for step in (lint, imports, types, templates, migrations, wheel, tests)
}
