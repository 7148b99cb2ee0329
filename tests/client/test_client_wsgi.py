"""The middleware of WSGI: what a request is, when it ends, and that nothing reaches the application."""

import gc
import io
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from flask import Flask, Response, g, send_file
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, EnvironBuilder

from trackside_client.usage import UsageWSGI

Counted = Callable[[Any], dict[tuple[Any, ...], int]]
GIVEN = {"url": "http://127.0.0.1:9", "api_key": "key", "flush_seconds": 60}


@pytest.fixture
def app() -> Flask:
    made = Flask("wsgi")

    @made.get("/orders/<int:number>")
    def order(number: int) -> str:
        g.user_id = f"u{number}"
        return "order"

    @made.get("/broken")
    def broken() -> str:
        raise RuntimeError("no such luck")

    @made.get("/stream")
    def stream() -> Response:
        def parts() -> Iterator[str]:
            yield "a"
            raise RuntimeError("half way")

        return Response(parts())

    @made.get("/file")
    def file() -> Response:
        return send_file(io.BytesIO(b"x" * 10), "text/plain")

    return made


def test_flasks_rules_users_and_statuses_are_counted(app: Flask, counted: Counted) -> None:
    app.wsgi_app = wrapped = UsageWSGI(app.wsgi_app, user=lambda _: g.get("user_id"), **GIVEN)
    client = app.test_client()
    for path in ("/orders/1", "/orders/2", "/orders/2", "/nowhere/3", "/broken", "/file"):
        client.get(path).close()
    client.post("/orders/1").close()
    client.open("/orders/1", method="BREW").close()
    assert counted(wrapped) == {
        ("GET", "/orders/<int:number>", 200, "u1", ""): 1,
        ("GET", "/orders/<int:number>", 200, "u2", ""): 2,
        ("GET", None, 404, "", ""): 1,
        ("GET", "/broken", 500, "", ""): 1,
        ("GET", "/file", 200, "", ""): 1,
        ("POST", None, 405, "", ""): 1,
        ("_OTHER", None, 405, "", ""): 1,
    }
    failures = {sample.key[1]: sample.error for sample in wrapped.site.reporter.samples.take()}
    assert failures["/broken"] is not None
    assert failures["/broken"][:2] == ("RuntimeError", "no such luck")
    assert failures["/broken"].stack == ""


def test_an_exception_that_leaves_the_application_is_a_500(app: Flask, counted: Counted) -> None:
    app.testing = True
    app.wsgi_app = wrapped = UsageWSGI(app.wsgi_app, **GIVEN)
    with pytest.raises(RuntimeError, match="luck"):
        app.test_client().get("/broken")
    with pytest.raises(RuntimeError, match="half way"):
        app.test_client().get("/stream", buffered=True)
    assert counted(wrapped) == {("GET", "/broken", 500, "", ""): 1, ("GET", "/stream", 500, "", ""): 1}


def test_a_rule_is_told_with_the_prefix_it_is_mounted_at(app: Flask, counted: Counted) -> None:
    wrapped = UsageWSGI(DispatcherMiddleware(Flask("outer"), {"/shop": app}), **GIVEN)
    Client(wrapped).get("/shop/orders/1").close()
    Client(wrapped).get("/orders/1", environ_overrides={"SCRIPT_NAME": "/deployed"}).close()
    assert counted(wrapped) == {("GET", "/shop/orders/<int:number>", 200, "", ""): 1, ("GET", None, 404, "", ""): 1}


def plain(body: Any, status: str = "200 OK") -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, [])
        return body(environ) if callable(body) else body

    return app


def environ(**more: Any) -> dict[str, Any]:
    return EnvironBuilder("/x?token=secret").get_environ() | more


def start(status: str, headers: Any, exc_info: Any = None) -> None:
    """Do what a server does: nothing yet."""


def test_time_runs_until_a_body_is_closed() -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            time.sleep(0.02)
            yield b"a"

        def close(self) -> None:
            time.sleep(0.02)

    wrapped = UsageWSGI(plain(Body()), **GIVEN)
    body = wrapped(environ(), start)
    assert list(body) == [b"a"]
    time.sleep(0.02)
    assert wrapped.site.reporter.counters.take() == []
    body.close()
    (window,) = wrapped.site.reporter.counters.take()
    assert next(iter(window.series.values())).longest >= 0.06


def test_a_body_that_is_never_closed_counts_all_the_same(counted: Counted) -> None:
    wrapped = UsageWSGI(plain(lambda _: iter([b"a"])), **GIVEN)
    wrapped(environ(), start)
    gc.collect()
    assert sum(counted(wrapped).values()) == 1


def test_lists_and_files_reach_the_server_as_they_are(counted: Counted) -> None:
    whole = [b"a"]
    wrapped = UsageWSGI(plain(whole), **GIVEN)
    assert wrapped(environ(), start) is whole
    file = FileWrapper(io.BytesIO(b"abc"))
    wrapped = UsageWSGI(plain(file), **GIVEN)
    counted(wrapped)
    found = wrapped(environ(**{"wsgi.file_wrapper": FileWrapper}), start)
    assert found is file
    assert counted(wrapped) == {}
    found.close()
    assert file.filelike.closed
    assert sum(counted(wrapped).values()) == 1
    handle = object()
    assert UsageWSGI(plain(handle), **GIVEN)(environ(), start) is handle


def test_an_application_wrapped_twice_is_counted_once(counted: Counted) -> None:
    wrapped = UsageWSGI(UsageWSGI(plain([b"a"]), **GIVEN), **GIVEN)
    wrapped(environ(), start)
    assert sum(counted(wrapped).values()) == 1


@pytest.mark.parametrize("fails", [lambda _: 1 / 0, lambda _: object(), lambda environ: environ["no"]])
def test_what_fails_in_user_never_reaches_the_application(
    counted: Counted, caplog: pytest.LogCaptureFixture, fails: Callable[[Any], Any]
) -> None:
    wrapped = UsageWSGI(plain([b"a"]), user=fails, **GIVEN)
    for _ in range(3):
        wrapped(environ(), start)
    assert list(counted(wrapped).values()) == [3]
    assert len([record for record in caplog.records if record.name == "trackside_client"]) == 1


def test_users_come_from_headers_in_every_script(counted: Counted) -> None:
    wrapped = UsageWSGI(plain([b"a"]), user_header="X-User-Id", account_header="x-account", **GIVEN)
    wrapped(environ(HTTP_X_USER_ID="zoë".encode().decode("latin-1"), HTTP_X_ACCOUNT=" a1 "), start)
    wrapped(environ(HTTP_X_USER_ID="u" * 10_000), start)
    assert counted(wrapped) == {
        ("GET", None, 200, "zoë", "a1"): 1,
        ("GET", None, 200, "u" * 201, ""): 1,  # still too long: the server says so
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": "ftp://x", "api_key": "k"},
        {"url": "http://x:port", "api_key": "k"},
        {"url": "http://x", "api_key": "k k"},
        {"url": "http://[", "api_key": "k"},
    ],
)
def test_without_a_usable_configuration_it_says_so_once_and_steps_aside(
    given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        wrapped = UsageWSGI(plain([b"a"]), **given)
    assert list(wrapped(environ(), start)) == [b"a"]
    assert [record.getMessage()[:32] for record in caplog.records] == ["trackside: usage is not reported"]
