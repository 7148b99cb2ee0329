"""The lane: who gets in, and what comes back when something is wrong."""

import gc
import io
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from trackside.auth.principal import KeyPrincipal
from trackside.errors import BadRequest, NotAuthenticated, Unavailable
from trackside.lane import LaneRequest, LaneResponse
from trackside.module import LaneRoute, Module
from trackside.pages import Pages
from trackside.places import Places
from trackside.registry import Registry
from trackside.runtime import Runtime
from trackside.serve import Lane

KINDS = frozenset({"server", "admin"})


def echo(_runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    def handle(request: LaneRequest) -> LaneResponse:
        return LaneResponse("200 OK", request.body(10) or request.path.encode())

    return handle


def away(_runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    def handle(_request: LaneRequest) -> LaneResponse:
        raise Unavailable("The database is away.", 7)

    return handle


def broken(_runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    def handle(_request: LaneRequest) -> LaneResponse:
        raise ZeroDivisionError

    return handle


HELD: "list[weakref.ref[Any]]" = []


def heavy(_runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    class Body:
        """Stands for 64 MiB that a handler holds while it finds out that they are wrong."""

    def handle(_request: LaneRequest) -> LaneResponse:
        body = Body()
        HELD.append(weakref.ref(body))
        try:
            raise ValueError
        except ValueError as error:
            raise BadRequest("This could not be read.") from error

    return handle


def terse(request: LaneRequest, error: Any) -> LaneResponse:
    return LaneResponse(f"{error.status} no", f"{error.code} key={request.key is not None}".encode())


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Give references to this file's functions: tests are no importable package."""
    import sys
    import types

    module = types.ModuleType("lane_fixture")
    for each in (echo, away, broken, heavy, terse):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, "lane_fixture", module)
    return lambda name: f"lane_fixture:{name}"


class Keys:
    def authenticate(self, environ: dict[str, Any]) -> KeyPrincipal:
        kind = environ.get("HTTP_X_API_KEY")
        if not kind:
            raise NotAuthenticated
        return KeyPrincipal(1, 1, kind, frozenset({"a:read"}))


Call = Callable[..., tuple[int, dict[str, str], bytes]]


def pages(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"page"]


@pytest.fixture
def call(runtime: Runtime, handlers: Callable[[str], str]) -> Call:
    ref = handlers
    routes = (
        LaneRoute("POST", "/v1/echo", ref("echo"), KINDS),
        LaneRoute("GET", "/v1/below/", ref("echo"), KINDS, errors=ref("terse")),
        LaneRoute("GET", "/v1/away", ref("away"), KINDS),
        LaneRoute("GET", "/v1/broken", ref("broken"), KINDS, errors=ref("terse")),
        LaneRoute("POST", "/v1/heavy", ref("heavy"), KINDS),
        LaneRoute("GET", "/v1/scoped", ref("echo"), KINDS, scope="b:read"),
    )
    lane = Lane(
        replace(runtime, registry=Registry((Module(name="m", title="M", lane=routes),))), Keys(), pages, Places(8)
    )

    def made(method: str, path: str, key: str = "server", body: bytes = b"", **environ: Any) -> Any:
        told: list[Any] = []
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "HTTP_X_API_KEY": key,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **environ,
        }
        answer = b"".join(lane(environ, lambda status, headers: told.extend((status, headers))))
        return int(told[0][:3]), dict(told[1]), answer

    return made


def test_an_exact_path_is_answered_by_its_handler(call: Call) -> None:
    assert call("POST", "/v1/echo", body=b"hello")[2] == b"hello"


def test_a_prefix_takes_every_path_below_it(call: Call) -> None:
    assert call("GET", "/v1/below/a/b")[2] == b"/v1/below/a/b"
    assert call("HEAD", "/v1/below/a")[0] == 200


def test_all_else_is_a_page(call: Call) -> None:
    assert call("GET", "/v1/echo/more")[2] == b"page"
    assert call("GET", "/v1/below")[2] == b"page"


def test_another_method_is_405_and_says_which_are_allowed(call: Call) -> None:
    status, headers, _ = call("GET", "/v1/echo")
    assert (status, headers["Allow"]) == (405, "POST")


def test_no_key_is_401_and_the_body_is_not_read(call: Call) -> None:
    unread = io.BytesIO(b"x" * 100)
    status, headers, _ = call("POST", "/v1/echo", key="", **{"wsgi.input": unread})
    assert (status, headers["WWW-Authenticate"], unread.tell()) == (401, "Bearer", 0)


def test_the_wrong_kind_and_a_missing_scope_are_403(call: Call) -> None:
    assert call("POST", "/v1/echo", key="client")[0] == 403
    assert call("GET", "/v1/scoped", key="admin")[0] == 403


def test_a_route_says_errors_in_its_own_form(call: Call) -> None:
    assert call("GET", "/v1/below/x", key="")[2] == b"not-authenticated key=False"
    assert call("POST", "/v1/below/x")[2] == b"method-not-allowed key=False"


def test_what_is_away_is_503_with_retry_after(call: Call) -> None:
    status, headers, _ = call("GET", "/v1/away")
    assert (status, headers["Retry-After"]) == (503, "7")


def test_a_bug_is_a_plain_500_in_the_routes_form(call: Call) -> None:
    assert call("GET", "/v1/broken")[::2] == (500, b"internal key=True")


def test_a_body_over_the_limit_is_413(call: Call) -> None:
    assert call("POST", "/v1/echo", body=b"x" * 11)[0] == 413


@pytest.mark.parametrize(("given", "kept"), [("abc-12345", True), ("short", False), ("a b c d e f", False)])
def test_a_request_id_is_kept_only_where_it_is_sane(call: Call, given: str, kept: bool) -> None:
    _, headers, _ = call("GET", "/v1/below/x", HTTP_X_REQUEST_ID=given)
    assert (headers["X-Request-Id"] == given) is kept
    assert headers["X-Request-Id"]


def test_pages_over_their_share_of_the_threads_are_refused() -> None:
    held = Pages(pages, Places(threads=2))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
    told: list[str] = []
    first = held(dict(environ), lambda status, headers: told.append(status))
    held(dict(environ), lambda status, headers: told.append(status))
    first.close()  # type: ignore[attr-defined]
    held(dict(environ), lambda status, headers: told.append(status))
    assert told == ["200 OK", "503 unavailable", "200 OK"]


@pytest.mark.parametrize(("member", "reads"), [(True, 20 << 20), (False, 0)])
def test_a_large_file_is_taken_of_members_alone(member: bool, reads: int) -> None:
    seen: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(len(environ["wsgi.input"].read()))
        start_response("200 OK", [])
        return []

    held = Pages(app, Places(threads=8), {"/files": 32 << 20}, lambda _: member)
    length = 20 << 20
    environ = {"PATH_INFO": "/files", "CONTENT_LENGTH": str(length), "HTTP_COOKIE": "a=b"}
    held({**environ, "REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(bytes(length))}, lambda *_: None)
    assert seen == [reads]


def test_slow_routes_and_pages_together_leave_threads_for_hot_routes() -> None:
    places, taken = Places(threads=8), 0
    for share in ("pages", "slow") * 8:
        try:
            places.take(share)
        except Unavailable:
            continue
        taken += 1
    assert taken == 7


def test_a_place_given_back_can_be_taken_again() -> None:
    places = Places(threads=4)
    for _ in range(20):
        with places.hold("slow"), places.hold("pages"):
            pass


def test_what_a_refused_request_held_is_free_at_once(call: Call) -> None:
    gc.disable()
    try:
        assert call("POST", "/v1/heavy")[0] == 400
        assert HELD[-1]() is None, "it waits for the garbage collector, which does not know how large it is"
    finally:
        gc.enable()
