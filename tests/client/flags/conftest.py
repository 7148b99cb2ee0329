"""A server of flags as a client sees it: a ruleset, a stream and exposures, each of which can be away."""

import gzip
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from trackside_client.flags import Flags

KEY = "ts_production_server_1_secret_crc"


class FlagDoor:
    """Listens at a port of its own; `refuse` maps a path to the status it answers instead."""

    key = KEY

    def __init__(self) -> None:
        self.document = self.ruleset(checkout=self.flag())
        self.refuse: dict[str, tuple[int, dict[str, str]]] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.batches: dict[str, list[dict[str, Any]]] = {}
        self.posts = 0
        self.streams: list[SimpleQueue[bytes | None]] = []
        self.port = 0
        self.open()

    @staticmethod
    def flag(**given: Any) -> dict[str, Any]:
        """Return a boolean flag that is on for everybody, but for what is given."""
        plain = {"type": "boolean", "salt": "s", "enabled": True, "variants": {"on": True, "off": False}, "off": "off"}
        return {**plain, "serve": {"rollout": 100000, "split": [["on", 100000]]}, **given}

    @staticmethod
    def ruleset(version: int = 1, **flags: Any) -> dict[str, Any]:
        """Return a ruleset of flags by key."""
        return {"schema": 1, "environment": "production", "version": version, "flags": flags, "segments": {}}

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def etag(self) -> str:
        """The content's."""
        return f'"{_etag(self.document)}"'

    def change(self, document: dict[str, Any], *, tell: bool = True) -> None:
        """Serve another ruleset, and tell those who follow."""
        self.document = document
        if tell:
            event = json.dumps({"type": "refetchEvaluation", "etag": self.etag})
            for each in list(self.streams):
                each.put(f"event: change\ndata: {event}\n\n".encode())

    def bring(self, document: dict[str, Any], **told: Any) -> None:
        """Tell those who follow what has changed, and go on serving the ruleset of before."""
        before, after = self.document["flags"], document["flags"]
        change: dict[str, Any] = {"since": self.etag.strip('"'), "version": document["version"]}
        change["flags"] = {key: flag for key, flag in after.items() if flag != before.get(key)}
        change["gone"] = [key for key in before if key not in after]
        event = json.dumps({"type": "refetchEvaluation", "etag": _etag(document), "change": {**change, **told}})
        for each in list(self.streams):
            each.put(f"data: {event}\n\n".encode())

    def cut(self) -> None:
        """End all streams."""
        for each in list(self.streams):
            each.put(None)

    def told(self) -> Counter[tuple[Any, ...]]:
        """Return what was told of exposures: evaluations by flag, variant, user and account."""
        found: Counter[tuple[Any, ...]] = Counter()
        for batch in self.batches.values():
            for it in batch:
                found[it["flag"], it["variant"], it.get("user"), it.get("account")] += it["count"]
        return found

    def open(self) -> None:
        """Listen, at the same port as before."""
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                door._get(self)

            def do_POST(self) -> None:
                door._post(self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; nobody listens at the port any more."""
        self.cut()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        status, headers = self.refuse.get(request.path, (200, {}))
        if status == 200 and request.headers.get("Authorization") != f"Bearer {KEY}":
            status = 401
        if status == 200 and request.path == "/v1/flags/stream":
            self.asked.append((request.path, 200))
            self._stream(request)
            return
        body = b"{}"
        if status == 200:
            body, headers = json.dumps(self.document).encode(), {"ETag": self.etag, **self.headers}
            if request.headers.get("If-None-Match") == self.etag:
                status, body = 304, b""
        self.asked.append((request.path, status))
        _answer(request, status, headers, body)

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        events: SimpleQueue[bytes | None] = SimpleQueue()
        self.streams.append(events)
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        try:
            request.wfile.write(b"retry: 3000\n\n")
            while True:
                try:
                    event = events.get(timeout=1.0)
                except Empty:
                    event = b":\n\n"
                if event is None:
                    return
                request.wfile.write(event)
        except OSError:
            return
        finally:
            self.streams.remove(events)

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        status, headers = self.refuse.get(request.path, (202, {}))
        self.posts += 1
        answer = b'{"accepted":1,"duplicate":false,"rejected":[]}'
        if status in {202, 599}:
            told = json.loads(gzip.decompress(body))
            self.batches[told["batch_id"]] = told["exposures"]
        _answer(request, 503 if status == 599 else status, headers, answer)


def _etag(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def _answer(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if status != 304:
        request.wfile.write(body)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition."""

    def wait(condition: Callable[[], Any], seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, "it did not come true"
            time.sleep(0.005)

    return wait


@pytest.fixture
def flag_door() -> Iterator[FlagDoor]:
    made = FlagDoor()
    yield made
    made.close()


@pytest.fixture
def flags_of() -> Iterator[Callable[..., Flags]]:
    """Make clients that are closed at the end: `flags_of(flag_door)`; streams are followed at the door itself."""
    made: list[Flags] = []

    def make(door: FlagDoor | None = None, **given: Any) -> Flags:
        if door is not None:
            given = {"url": door.url, "key": door.key, "stream_url": door.url, "poll_seconds": 0.1, **given}
        made.append(Flags(**{"flush_seconds": 60, "wait": 5, **given}))
        return made[-1]

    yield make
    for each in made:
        each.close()
