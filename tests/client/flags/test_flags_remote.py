"""Remote mode with a server that is away, slow, wrong or back again: an answer always comes, and nothing is raised."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackside_client._transport import sender
from trackside_client.flags import Flags, remote

ON = b'{"key":"checkout","value":true,"variant":"on","reason":"STATIC","metadata":{"owner":"ada"}}'


class Oracle:
    """A server that answers every question with `status`, `headers` and `body`, after `delay` seconds."""

    def __init__(self) -> None:
        self.status, self.headers, self.body, self.delay = 200, dict[str, str](), ON, 0.0
        self.asked: list[str] = []
        self.connections = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Listen, at the same port as before."""
        oracle = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                oracle.connections += 1
                super().setup()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                oracle.asked.append(self.path)
                time.sleep(oracle.delay)
                try:
                    self.send_response(oracle.status)
                    for name, value in {"Content-Length": str(len(oracle.body)), **oracle.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(oracle.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Oracle]:
    monkeypatch.setattr(sender, "_FIRST_WAIT", 0.05)
    monkeypatch.setattr(remote, "TIMEOUT", 0.25)
    made = Oracle()
    made.open()
    yield made
    made.close()


@pytest.fixture
def flags(oracle: Oracle, flags_of: Callable[..., Flags]) -> Flags:
    return flags_of(url=oracle.url, key="ts_production_client_1_secret_crc")


def test_an_answer_comes_with_all_that_the_server_said(oracle: Oracle, flags: Flags) -> None:
    found = flags.details("checkout", False, user="u_1")
    assert (found.value, found.variant, found.reason, found.flag_metadata) == (True, "on", "STATIC", {"owner": "ada"})
    assert flags.status.mode == "remote"
    assert oracle.asked == ["/ofrep/v1/evaluate/flags/checkout"]


def test_a_server_away_at_the_start_is_asked_when_it_is_there(
    oracle: Oracle, flags: Flags, until: Callable[..., None]
) -> None:
    oracle.close()
    assert flags.boolean("checkout", False, user="u_1") is False
    assert flags.boolean("checkout", True, user="u_1") is True
    assert flags.details("checkout", False).error_code == "PROVIDER_NOT_READY"
    assert flags.status.state == "away"
    oracle.open()
    until(lambda: flags.boolean("checkout", False, user="u_1") is True)
    assert flags.status.state == "ready"


def test_the_last_answer_to_the_same_question_serves_while_the_server_is_away(
    oracle: Oracle, flags: Flags, until: Callable[..., None]
) -> None:
    assert flags.boolean("checkout", False, user="u_1") is True
    oracle.status, oracle.body = 500, b"trace"
    assert flags.boolean("checkout", False, user="u_1") is True
    assert flags.boolean("checkout", False, user="u_2") is False
    assert flags.status.state == "stale"
    oracle.status, oracle.body = 200, ON.replace(b"true", b"false")
    until(lambda: flags.boolean("checkout", True, user="u_1") is False)


def test_a_slow_server_is_waited_for_once_and_then_left_alone_for_a_while(
    oracle: Oracle, flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "TIMEOUT", 0.4)
    monkeypatch.setattr(sender, "_FIRST_WAIT", 30.0)
    flags.boolean("checkout", False, user="u_0")  # a kept connection is no reason to wait twice
    asked, oracle.delay, began = len(oracle.asked), 2.0, time.monotonic()
    assert flags.boolean("checkout", False, user="u_1") is False
    assert time.monotonic() - began < 0.8
    for number in range(50):
        assert flags.boolean("checkout", True, user=f"v_{number}") is True
    assert len(oracle.asked) == asked + 1
    oracle.delay = 0.0
    assert flags._remote is not None
    flags._remote._backoff.clear()
    assert flags.boolean("checkout", False, user="u_1") is True


@pytest.mark.parametrize("status", [204, 301, 400, 404, 418, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"\xff\xfe", b'{"value"', b"[" * 100_000, b"{}"])
def test_what_makes_no_sense_is_the_default_and_the_next_answer_counts(
    oracle: Oracle, flags: Flags, until: Callable[..., None], status: int, body: bytes
) -> None:
    oracle.status, oracle.body = status, b"" if status == 204 else body
    assert flags.boolean("checkout", False, user="u_1") is False
    assert flags.string("checkout", "plain", user="u_1") == "plain"
    oracle.status, oracle.body = 200, ON
    until(lambda: flags.boolean("checkout", False, user="u_1") is True)


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "999"}, {"Content-Length": "x"}, {"Transfer-Encoding": "chunked"}]
)
def test_an_answer_that_breaks_off_is_the_default_and_spoils_no_later_one(
    oracle: Oracle, flags: Flags, until: Callable[..., None], headers: dict[str, str]
) -> None:
    oracle.headers = headers
    assert flags.boolean("checkout", False, user="u_1") in {True, False}
    assert flags.boolean("other", False, user="u_1") in {True, False}
    oracle.headers = {}
    until(lambda: flags.boolean("checkout", False, user="u_1") is True)


def test_a_connection_that_the_server_has_closed_is_opened_anew(oracle: Oracle, flags: Flags) -> None:
    oracle.headers = {"Connection": "close"}
    assert all(flags.boolean("checkout", False, user=f"u_{number}") for number in range(3))
    oracle.headers = {}
    assert all(flags.boolean("checkout", False, user=f"u_{number}") for number in range(3))
    assert oracle.connections == 4


def test_many_threads_that_fail_together_are_put_off_as_one(
    oracle: Oracle, flags: Flags, until: Callable[..., None]
) -> None:
    oracle.status = 503
    with ThreadPoolExecutor(20) as threads:
        assert not any(threads.map(lambda number: flags.boolean("checkout", False, user=f"u_{number}"), range(60)))
    oracle.status = 200
    until(lambda: flags.boolean("checkout", False, user="u_1") is True, 3)


def test_a_refused_key_is_asked_for_again_later(oracle: Oracle, flags: Flags, until: Callable[..., None]) -> None:
    oracle.status = 401
    assert flags.boolean("checkout", False, user="u_1") is False
    assert flags.status.state == "refused"
    oracle.status = 200
    until(lambda: flags.boolean("checkout", False, user="u_1") is True)


@pytest.mark.parametrize("key", ["\ud800", "a b", "../x", "", "a\r\nHost: b", None, 5])
def test_a_key_that_no_flag_can_have_is_asked_for_nowhere(oracle: Oracle, flags: Flags, key: Any) -> None:
    assert flags.boolean(key, True, user="u_1") is True
    assert oracle.asked == []
    assert flags.boolean("checkout", False, user="u_1") is True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
answers = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("key", "value", "variant", "reason", "metadata", "errorCode"), json_values)
)


@given(json_values | answers, st.sampled_from([200, 400, 404]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_json_comes_back_a_value_of_the_asked_type_answers(
    oracle: Oracle, flags: Flags, answer: Any, status: int
) -> None:
    oracle.status, oracle.body = status, json.dumps(answer).encode()
    assert flags.boolean("checkout", True, user="u_1") in {True, False}
    assert isinstance(flags.string("checkout", "", user="u_1"), str)
    assert isinstance(flags.number("checkout", 1, user="u_1"), (int, float))
    assert isinstance(flags.json("checkout", {}, user="u_1"), (dict, list))
