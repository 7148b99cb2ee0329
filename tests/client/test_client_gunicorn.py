"""Real processes: Flask under gunicorn reports to a real server, and every call is counted once."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

ROUNDS = 120


@contextmanager
def gunicorn(environ: dict[str, str], *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run two workers of the application, and stop them as an operator does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "client_app:app", "-w", "2", "-b", f"127.0.0.1:{port}", *arguments]
    process = subprocess.Popen(
        [*command, "--log-level", "warning", "--no-control-socket"],
        cwd=Path(__file__).parent,
        env=os.environ | environ,
        start_new_session=True,
    )
    try:
        wait(lambda: _answers(port), "gunicorn to listen")
        yield f"http://127.0.0.1:{port}", process
        process.terminate()
        assert process.wait(180) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait(condition: Callable[[], Any], what: str, seconds: float = 180) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def get(url: str, data: bytes | None = None) -> str:
    try:
        with urlopen(url, data, timeout=120) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        with error:
            return str(error.code)


def make_calls(url: str, rounds: int = ROUNDS) -> set[str]:
    """Make the calls of a round, from several sides at once; return the processes that answered orders."""
    with ThreadPoolExecutor(4) as pool:
        pids = set(pool.map(lambda number: get(f"{url}/orders/{number}?user=u{number % 3}"), range(rounds)))
        list(pool.map(lambda _: get(f"{url}/orders", b""), range(rounds // 6)))
        list(pool.map(lambda number: get(f"{url}/nowhere/{number}"), range(rounds // 12)))
        list(pool.map(lambda _: get(f"{url}/broken"), range(rounds // 24)))
    return pids


def expected(rounds: int = ROUNDS) -> list[tuple[Any, ...]]:
    return [
        ("shop", "GET", "(unmatched)", 404, "", rounds // 12),
        ("shop", "GET", "/broken", 500, "", rounds // 24),
        *(("shop", "GET", "/orders/<int:number>", 200, f"u{user}", rounds // 3) for user in range(3)),
        ("shop", "POST", "/orders", 503, "", rounds // 6),
    ]


@pytest.fixture
def environ(trackside: Any, tmp_path: Path) -> dict[str, str]:
    return {
        "TRACKSIDE_URL": trackside.url,
        "TRACKSIDE_API_KEY": trackside.key,
        "TRACKSIDE_SERVICE": "shop",
        "TRACKSIDE_SPOOL": str(tmp_path / "spool"),
    }


@pytest.mark.parametrize("arguments", [(), ("--preload",), ("--preload", "-k", "gthread", "--threads", "4")])
def test_two_workers_count_every_call(trackside: Any, environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    with gunicorn(environ, *arguments) as (url, _):
        assert len(make_calls(url)) == 2, "both workers answered"
    assert trackside.rows() == expected()


def test_examples_show_what_failed_and_count_nothing(trackside: Any, environ: dict[str, str]) -> None:
    with gunicorn(environ) as (url, _):
        make_calls(url)
    assert trackside.rows() == expected()
    query = "select error, message from usage_sample"
    samples = "select distinct e.route, s.status from usage_sample s join usage_endpoint e on e.id = s.endpoint_id"
    with trackside.runtime.database.pool.connection() as connection:
        assert ("RuntimeError", "no such luck") in connection.execute(query).fetchall()
        assert set(connection.execute(samples)) >= {("(unmatched)", 404), ("/broken", 500), ("/orders", 503)}
        held, coverage = (
            connection.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("usage_held", "usage_warning")
        )
        assert (held, coverage) == (0, 0), "nothing waits to be counted, nothing is wrong"


def test_a_stream_is_timed_to_its_end(trackside: Any, environ: dict[str, str]) -> None:
    with gunicorn(environ) as (url, _):
        assert get(f"{url}/stream") == "abc"
    assert [row[5] for row in trackside.rows()] == [1]
    with trackside.runtime.database.pool.connection() as connection:
        assert 300_000 <= connection.execute("select longest from usage_minute").fetchone()[0] < 2_000_000


def test_nothing_is_lost_or_doubled_while_the_server_is_away(
    trackside: Any, environ: dict[str, str], tmp_path: Path
) -> None:
    with gunicorn(environ) as (url, _):
        make_calls(url)
        trackside.close()
        make_calls(url)
        wait(lambda: list((tmp_path / "spool").rglob("*.json.gz")), "reports to be spooled")
        make_calls(url)
        trackside.open()
        wait(lambda: trackside.rows() == expected(3 * ROUNDS), "all calls to be counted")
    assert trackside.rows() == expected(3 * ROUNDS)


def test_what_was_spooled_survives_a_killed_process(trackside: Any, environ: dict[str, str], tmp_path: Path) -> None:
    trackside.close()
    with gunicorn(environ) as (url, process):
        make_calls(url)
        pending = [0]

        def spooled() -> bool:
            names = (path.name.split(".")[0] for path in (tmp_path / "spool").rglob("*.metrics.json.gz"))
            pending[0] = sum(int(name.rpartition("-")[2]) for name in names)
            return pending[0] == sum(row[5] for row in expected())

        wait(spooled, "all calls to be spooled")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.terminate = lambda: None  # type: ignore[method-assign]
        process.returncode = 0
    trackside.open()
    with gunicorn(environ) as (url, _):
        get(f"{url}/orders/1?user=u1")
        wait(lambda: sum(row[5] for row in trackside.rows()) == pending[0] + 1, "the spool to be sent")
    assert not list((tmp_path / "spool").rglob("*.json.gz"))
