"""`trackside up` as real processes: refused starts, ends of every kind, and what children do meanwhile."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

import pytest

from trackside.embedded.process import wait_until
from trackside.testing.running import Up, free_port, stop, up

TRACKSIDE = str(Path(sys.executable).with_name("trackside"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up") / "data", "--no-demo") as started:
        yield started


def _family(pid: int) -> dict[int, str]:
    """Return the living descendants of `pid` with their command lines."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=False
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    found: dict[int, str] = {}
    parents = {str(pid)}
    while parents:
        below = [row for row in rows if row[1] in parents and not row[2].startswith("Z")]
        found |= {int(row[0]): row[3] if len(row) > 3 else "" for row in below}
        parents = {row[0] for row in below}
    return found


def _start(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKSIDE_")}
    command = [TRACKSIDE, "up", "--no-demo", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def _is_alive(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.strip().startswith("Z")


def _lives(url: str) -> bool:
    try:
        with urlopen(f"{url}/healthz", timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_it_serves_and_offers_a_link(running: Up) -> None:
    assert _lives(running.url)
    assert running.link().startswith(f"{running.url}/link/")


def test_every_process_shows_its_command_in_ps(running: Up) -> None:
    lines = "\n".join(_family(running.process.pid).values())
    for name in ("trackside web", "trackside stream", "trackside worker fold", "trackside schedule"):
        assert name in lines


def test_a_second_up_on_the_same_folder_is_refused_by_name(running: Up) -> None:
    done = _start("--port", str(free_port()), "--data", str(running.data))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    for part in (str(running.data), f"process {running.process.pid}", running.url, "--data"):
        assert part in done.stderr


def test_a_busy_port_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        done = _start("--port", str(port), "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert f"{port + 1}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_commands_beside_it_find_it_by_its_folder(running: Up) -> None:
    made = running.json("key", "create", "--env", "production", "--kind", "server", "--name", "beside")
    assert made["key"].startswith("ts_production_server_")


def test_its_secrets_are_its_owners_alone(running: Up) -> None:
    for name in ("secret_key", "run.json", "lock"):
        assert stat.S_IMODE((running.data / name).stat().st_mode) == 0o600
    assert len((running.data / "secret_key").read_text()) == 64
    assert json.loads((running.data / "run.json").read_text())["base_url"] == running.url


@pytest.mark.parametrize("name", ["trackside web", "trackside stream", "postgres -D", "valkey-server"])
def test_what_is_killed_comes_back(running: Up, name: str) -> None:
    pids = [pid for pid, line in _family(running.process.pid).items() if name in line]
    os.kill(min(pids), signal.SIGKILL)

    def is_back() -> bool:
        now = [pid for pid, line in _family(running.process.pid).items() if name in line]
        return bool(now) and min(pids) not in now and _lives(running.url)

    assert wait_until(is_back, 240, step=0.1)


def test_killed_it_leaves_nothing_and_starts_again_and_stops_on_request(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(data, "--no-demo") as first:
        family = _family(first.process.pid)
        assert len(family) > 5
        first.process.kill()
        assert wait_until(lambda: not any(map(_is_alive, family)), 90, step=0.1)
    with up(data, "--no-demo") as second:
        assert _lives(second.url)
        family = _family(second.process.pid)
        stop(second.process)
        assert second.process.returncode == 0
        assert not any(map(_is_alive, family))
        assert not (data / "run.json").exists()


class Browser:
    """A member's browser, as far as forms and downloads need one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> bytes:
        """Return what stands at `path`."""
        return bytes(self._opener.open(self.url + path, timeout=120).read())

    def post(self, path: str, form: str, files: dict[str, bytes] | None = None, **fields: str) -> str:
        """Send the form on the page `form`, with files; return where it led."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(form).decode())
        fields |= {"csrf_token": found[1] if found else ""}
        parts = [f'name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
        for name, content in (files or {}).items():
            field, _, filename = name.partition(":")
            parts.append(f'name="{field}"; filename="{filename}"\r\n\r\n'.encode() + content + b"\r\n")
        between = b"--between\r\nContent-Disposition: form-data; "
        body = b"".join(between + each for each in parts) + b"--between--\r\n"
        sent = Request(self.url + path, body, {"Content-Type": "multipart/form-data; boundary=between"})
        return str(self._opener.open(sent, timeout=120).url)


def signed_in(running: Up) -> Browser:
    """Return a browser in which a new admin is signed in."""
    made = Browser(running.url)
    link = running.json("member", "create", f"ada-{free_port()}@staff.example", "--role", "admin")["link"]
    path = urlsplit(link).path
    made.post(path, path, name="Ada", password="correct horse battery staple")
    return made


def test_a_file_of_more_than_16_mib_is_uploaded_by_a_member_and_by_nobody_else(running: Up) -> None:
    browser = signed_in(running)
    page = "/support/settings/import"
    row = b"T%d,Hello,dev@customer.example,2026-06-01," + b"x" * 1000 + b"\n"
    content = b"id,subject,email,created_at,notes\n" + b"".join(row % each for each in range(18_000))
    assert len(content) > 16 << 20
    shown = browser.post(page, page, {"file:tickets.csv": content})
    assert re.search(r"/import/\d+$", shown)
    assert "tickets.csv" in browser.get(urlsplit(shown).path).decode()

    stranger = Request(running.url + page, content, {"Content-Type": "multipart/form-data; boundary=between"})
    with pytest.raises((HTTPError, URLError)) as refused:
        urlopen(stranger, timeout=120)
    assert not isinstance(refused.value, HTTPError) or refused.value.code in (400, 401, 403, 413)


def test_a_backup_of_a_running_one_begins_a_new_one_with_its_files_and_never_replaces_one(
    running: Up, tmp_path: Path
) -> None:
    browser = signed_in(running)
    number = running.json("support", "log", "dev@customer.example It fails -- See the log.")["number"]
    content = os.urandom(300_000)
    attached = {"files:trace.bin": content}
    browser.post(f"/support/{number}/write", f"/support/{number}", attached, mode="note", body="Their log", do="send")
    link = re.search(r'href="(/support/files/\d+)"', browser.get(f"/support/{number}").decode())
    assert link is not None
    assert browser.get(link[1]) == content
    made = json.loads(
        running.command("key", "create", "--env", "production", "--kind", "ingest", "--name", "n", "--json")
    )
    running.command("backup", str(tmp_path / "saved"))
    with up(tmp_path / "data", "--no-demo", "--restore", str(tmp_path / "saved")) as second:
        listed = second.command("key", "list", "--json")
        assert signed_in(second).get(link[1]) == content
    assert made["key"].split("_")[3] in listed
    done = _start("--port", str(free_port()), "--data", str(tmp_path / "data"), "--restore", str(tmp_path / "saved"))
    assert done.returncode == 1
    assert "not empty" in done.stderr
