"""What other people's programs rely on, asked of a running `trackside web`."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from trackside.auth.audit import COMMAND_LINE
from trackside.auth.keys import create_key
from trackside.clock import SystemClock
from trackside.embedded.process import wait_until
from trackside.embedded.valkey import Valkey
from trackside.module import Module
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings, load_settings
from trackside.testing.running import free_port
from trackside.testing.servers import Databases
from trackside.workspace import Environment

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Web:
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    settings: Settings
    server_key: str
    admin_key: str

    def ask(
        self, method: str, path: str, body: bytes = b"", *, chunked: bool = False, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1800)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            parts = iter([body[at : at + 65536] for at in range(0, len(body), 65536)]) if chunked else body
            # refused before all of it was sent: the answer is there already
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, parts, sent, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def worker(self) -> int:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(found[0])

    def peak(self) -> int:
        """Bytes of memory the worker had at most."""
        for line in Path(f"/proc/{self.worker()}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError


def environ(settings: Settings, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRACKSIDE_")}
    return clean | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "TRACKSIDE_SECRET_KEY": settings.secret_key,
        "TRACKSIDE_DATA": str(settings.data),
        **more,
    }


COMMAND = (sys.executable, "-m", "trackside", "web", "--port")


def answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def start(settings: Settings, port: int, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        process = subprocess.Popen([*COMMAND, str(port)], env=environ(settings), stdout=out, stderr=out)
    assert wait_until(lambda: process.poll() is not None or answers(port), 180), log.read_text()
    assert process.poll() is None, log.read_text()
    return process


@pytest.fixture
def web(settings: Settings, runtime: Runtime, tmp_path: Path) -> Iterator[Web]:
    """One of the test's own: to be stopped, killed, or weighed."""
    with running(settings, runtime, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(
    databases: Databases, template_database: str, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    """One for all tests that leave it as it was: a start is seconds."""
    name, folder = databases.create(template_database), tmp_path_factory.mktemp("web")
    settings = load_settings(
        {},
        secret_key="Zk3vQ9tW7mX1bR5nJ8cL2dF6hS4gA0pYxEuT",
        database_url=databases.url(name),
        redis_url=valkey.url(),
        data=folder / "data",
    )
    runtime = build_runtime(settings)
    with running(settings, runtime, folder) as made:
        yield made
    runtime.close()
    databases.drop(name)


@contextmanager
def running(settings: Settings, runtime: Runtime, folder: Path) -> Iterator[Web]:
    now = SystemClock().now()
    with runtime.database.session() as session:
        env = session.scalars(select(Environment).order_by(Environment.id)).first()
        assert env is not None
        _, server = create_key(session, COMMAND_LINE, now, env, kind="server", name="test")
        _, admin = create_key(
            session, COMMAND_LINE, now, env, kind="admin", name="test", scopes={"any"}, known_scopes={"any"}
        )
    port, log = free_port(), folder / "web.log"
    process = start(settings, port, log)
    try:
        yield Web(process, port, log, settings, server, admin)
    finally:
        process.kill()
        process.wait()


def bodies() -> dict[str, tuple[bytes, bool, dict[str, str], set[int]]]:
    """Name -> body, chunked, headers, statuses that are right."""
    limit = 64 * MEGABYTE
    bomb = gzip.compress(bytes(limit + 1), 9)
    zipped = {"Content_Encoding": "gzip"}
    return {
        "malformed": (b"{", False, {}, {400}),
        "empty": (b"", False, {}, {200, 400}),
        "no object": (b"[]", False, {}, {400}),
        "NUL": (b'{"resourceMetrics": "\x00"}', False, {}, {400}),
        "lone surrogate": (b'{"resourceMetrics": [{"schemaUrl": "\\ud800"}]}', False, {}, {200, 400}),
        "deep": (b'{"resourceMetrics": ' + b"[" * 100_000, False, {}, {400}),
        "oversized by length": (bytes(limit + 1), False, {}, {413}),
        "oversized in chunks": (bytes(limit + 1), True, {}, {413}),
        "bomb": (bomb, False, zipped, {413}),
        "bomb in chunks": (bomb, True, zipped, {413}),
        "no gzip": (b"{}", False, zipped, {400}),
        "cut gzip": (gzip.compress(b"{}")[:-3], False, zipped, {400}),
        "unknown encoding": (b"{}", False, {"Content_Encoding": "br"}, {400, 415}),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bad_bodies_are_refused_in_the_right_form_with_memory_flat(web: Web) -> None:
    """One process takes the whole table, to the lane, the API and a page; it lives, and its memory stays flat."""
    key = {"X_API_Key": web.server_key}
    json_type = {"Content_Type": "application/json"}
    assert web.ask("POST", "/v1/metrics", b"{}", **key, **json_type)[0] == 200
    before = web.peak()
    for name, (body, chunked, headers, right) in bodies().items():
        status, answered, said = web.ask("POST", "/v1/metrics", body, chunked=chunked, **key, **json_type, **headers)
        assert status in right, (name, status, said[:200])
        assert answered["content-type"] == "application/json", name
        assert status == 200 or isinstance(json.loads(said)["message"], str), name
    # about three times the limit was measured (parts, a growing buffer, granian's own); a bomb costs no more
    assert web.peak() - before < 64 * MEGABYTE * 4
    status, answered, _ = web.ask("GET", "/api/v1/whoami", X_API_Key=web.admin_key)
    assert (status, answered["content-type"]) == (200, "application/json")


@pytest.mark.parametrize("chunked", [False, True])
def test_pages_refuse_what_is_too_large_by_length_and_in_chunks(shared: Web, chunked: bool) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    status, answered, _ = shared.ask("POST", "/sign-in", b"a=" + b"x" * MEGABYTE, chunked=chunked, **form)
    assert (status, answered["content-type"].split(";")[0]) == (413, "text/html")


def test_slow_senders_of_forms_keep_nobody_from_a_page(shared: Web) -> None:
    """A body is waited for on a thread set aside for that: anyone can send one, a byte an hour."""
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Type: "
    head += b"application/x-www-form-urlencoded\r\n\r\na"
    senders = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(20)]
    try:
        for each in senders:
            each.sendall(head)
        # more than there are threads for bodies: those over are told so at once
        assert wait_until(lambda: shared.ask("POST", "/sign-in", b"a=1")[0] == 503, 90)
        assert shared.ask("GET", "/sign-in")[0] == 200
        assert shared.ask("GET", "/healthz")[0] == 200
        assert (
            shared.ask("POST", "/v1/metrics", b"{}", X_API_Key=shared.server_key, Content_Type="application/json")[0]
            == 200
        )
    finally:
        for each in senders:
            each.close()
    assert wait_until(lambda: shared.ask("POST", "/sign-in", b"a=1")[0] == 400, 90)


def test_answers_of_hot_routes_are_never_shown_as_pages_or_kept(shared: Web) -> None:
    for method, headers in (("GET", {}), ("POST", {}), ("POST", {"X_API_Key": shared.server_key})):
        _, answered, _ = shared.ask(method, "/v1/metrics", b"{}", **headers)
        assert answered["x-content-type-options"] == "nosniff"
        assert answered["cache-control"] == "no-store"
        assert "default-src 'none'" in answered["content-security-policy"]


def _dear_bodies() -> dict[str, tuple[bytes, str]]:
    """Bodies that are cheap to send and were dear to hold: 2.2 GiB was measured for one of them."""
    json_type, protobuf = "application/json", "application/x-protobuf"
    return {
        "empty resources": (b"\x0a\x00" * (31 * MEGABYTE), protobuf),
        "empty objects": (b'{"resourceMetrics":[' + b"{}," * (21 * MEGABYTE) + b"{}]}", json_type),
        "numbers": (b'{"resourceMetrics":[' + b"0.1," * (15 * MEGABYTE) + b"1]}", json_type),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_bodies_sent_together_leave_memory_bounded(web: Web) -> None:
    """Whatever is inside and however many come at once, two are read at a time; the others are told to come again."""
    web.ask("POST", "/v1/metrics", b"{}", X_API_Key=web.server_key, Content_Type="application/json")
    before = web.peak()
    bodies = _dear_bodies() | {"zeros": (bytes(63 * MEGABYTE), "application/x-protobuf")}
    for name, (body, media) in bodies.items():
        with ThreadPoolExecutor(8) as pool:
            headers = {"X_API_Key": web.server_key, "Content_Type": media}
            asked = [pool.submit(web.ask, "POST", "/v1/metrics", body, **headers) for _ in range(8)]
            answers = [each.result() for each in asked]
        assert {status for status, _, _ in answers} <= {400, 413, 503}, name
        assert all("retry-after" in headers for status, headers, _ in answers if status == 503), name
    # Two bodies are in work, each as the block it grew in (9/8 of it) and as a copy: 268 MiB. Each of the other six
    # threads may still hold the one it has just refused: 378 MiB. 258 were measured in all.
    assert web.peak() - before < 704 * MEGABYTE


def test_no_key_and_wrong_kinds_are_refused_in_each_protocols_form(shared: Web) -> None:
    status, answered, said = shared.ask("POST", "/v1/metrics", b"{}", Content_Type="application/json")
    assert (status, answered["www-authenticate"]) == (401, "Bearer")
    assert "message" in json.loads(said)
    assert shared.ask("POST", "/v1/metrics", b"{}", X_API_Key=shared.admin_key)[0] == 403
    status, answered, _ = shared.ask("GET", "/api/v1/whoami", X_API_Key=shared.server_key)
    assert (status, answered["content-type"]) == (403, "application/problem+json")
    status, answered, _ = shared.ask("GET", "/v1/metrics", X_API_Key=shared.server_key)
    assert (status, answered["allow"]) == (405, "POST")


def test_the_logs_of_a_process_are_json_lines_with_nothing_personal(shared: Web) -> None:
    shared.ask("GET", "/nothing/ann@example.com?who=ann", X_Request_Id="request-77")
    shared.ask("GET", "/sign-in", X_Request_Id="request-78")
    asked = {"request-77", "request-78"}
    assert wait_until(lambda: all(each in shared.log.read_text() for each in asked), 90)
    said = shared.log.read_text()
    lines = [json.loads(line) for line in said.splitlines()]
    assert {"listening", "request"} <= {line["event"] for line in lines}
    assert asked <= {line.get("request_id") for line in lines}
    assert "ann" not in said


def test_a_busy_port_is_named_and_the_first_goes_on(shared: Web) -> None:
    done = subprocess.run(
        [*COMMAND, str(shared.port)],
        env=environ(shared.settings),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"trackside: Cannot listen at 127.0.0.1:{shared.port}")
    assert len(done.stderr.splitlines()) == 1
    assert answers(shared.port)


def test_it_stops_on_sigterm_and_takes_no_new_requests(web: Web) -> None:
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(120) == 0
    assert not answers(web.port)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_worker_dies_with_its_killed_parent(web: Web) -> None:
    worker = web.worker()
    web.process.kill()
    web.process.wait()
    gone = wait_until(lambda: _state(worker) in {"", "Z"}, 90)
    assert gone
    assert not answers(web.port)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, "PostgreSQL is not reachable"),
        ({"DATABASE_URL": "empty"}, "run `trackside db upgrade`"),
    ],
)
def test_without_its_database_it_says_so_in_one_line(
    settings: Settings, empty_database_url: str, change: dict[str, str], message: str
) -> None:
    change = {name: empty_database_url if value == "empty" else value for name, value in change.items()}
    done = subprocess.run(
        [*COMMAND, str(free_port())],
        env=environ(settings, **change),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_redis_it_starts_and_warns(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    process = start(
        replace(settings, redis_url="redis://127.0.0.1:1"),
        port,
        tmp_path / "web.log",
    )
    try:
        assert "web.redis_away" in (tmp_path / "web.log").read_text()
    finally:
        process.kill()
        process.wait()


def test_every_lane_and_api_route_is_described(runtime: Runtime) -> None:
    from trackside.api.blueprint import operations
    from trackside.api.openapi import document

    described = document(runtime, operations(runtime))
    for operation in operations(runtime):
        made = described["paths"][f"/api/v1{operation.path}"][operation.method.lower()]
        assert made["summary"], operation.id
        assert {"401", "403", "422", "429", "503"} <= set(made["responses"]), operation.id
        content = made["responses"][str(operation.status)].get("content", {})
        assert operation.returns is None or "example" in content["application/json"], f"{operation.id} has no example"
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    modules: tuple[Module, ...] = runtime.registry.modules
    missing = [f"{r.method} {r.path}" for m in modules for r in m.lane if f"`{r.method} {r.path}`" not in text]
    assert not missing, f"docs/api.md does not describe {missing}"
