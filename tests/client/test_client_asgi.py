"""The middleware of ASGI: the templates of Starlette and FastAPI, and when a request ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from trackside_client.usage import UsageASGI
from trackside_client.usage.routes import AsgiRoutes

Counted = Callable[[Any], dict[tuple[Any, ...], int]]
GIVEN = {"url": "http://127.0.0.1:9", "api_key": "key", "flush_seconds": 60}


def run(made: Awaitable[Any]) -> Any:
    """Run in a loop of its own thread, whatever runs in this one."""

    async def wait() -> Any:
        return await made

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, wait()).result(180)


async def ask(app: Any, path: str, method: str = "GET", headers: Any = (), root: str = "") -> list[Any]:
    """Make one request and return the messages answered."""
    sent: list[Any] = []
    asked: list[None] = []

    async def receive() -> dict[str, Any]:
        if asked:
            await asyncio.sleep(60)  # the client stays
        asked.append(None)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": root + path,
        "raw_path": (root + path).encode(),
        "root_path": root,
        "headers": list(headers),
        "query_string": b"token=secret",
        "server": ("x", 80),
        "scheme": "http",
        "http_version": "1.1",
        "state": {},
    }
    await app(scope, receive, send)
    return sent


async def hello(request: Request) -> PlainTextResponse:
    request.state.user_id = "u1"
    return PlainTextResponse("hello")


def wrap(app: Any, **more: Any) -> UsageASGI:
    return UsageASGI(app, user=lambda scope: scope["state"].get("user_id"), **GIVEN, **more)


def test_starlettes_routes_are_counted_as_templates(counted: Counted, tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("a")
    inner = Starlette(routes=[Route("/things/{thing}", hello)])
    app = Starlette(
        routes=[
            Route("/hello/{name:path}", hello),
            Mount("/tenants/{tenant}", routes=[Route("/users/{user:int}", hello), Mount("/inner", inner)]),
            Mount("/static", StaticFiles(directory=tmp_path)),
        ]
    )
    wrapped = wrap(app)
    for path in ("/hello/a/b", "/tenants/t1/users/3", "/tenants/t2/inner/things/x", "/static/a.txt"):
        run(ask(wrapped, path))
    for path in ("/nowhere", "/tenants/t1/nowhere", "/static/nowhere"):
        run(ask(wrapped, path))
    run(ask(wrapped, "/hello/a", "POST"))
    assert counted(wrapped) == {
        ("GET", "/hello/{name}", 200, "u1", ""): 1,
        ("GET", "/tenants/{tenant}/users/{user}", 200, "u1", ""): 1,
        ("GET", "/tenants/{tenant}/inner/things/{thing}", 200, "u1", ""): 1,
        ("GET", "/static/{path}", 200, "", ""): 1,
        ("GET", "/static/{path}", 404, "", ""): 1,
        ("GET", None, 404, "", ""): 2,
        ("POST", None, 405, "", ""): 1,
    }


def test_fastapis_routes_are_counted_as_templates(counted: Counted) -> None:
    app, router, inner = FastAPI(), APIRouter(prefix="/orders"), FastAPI()

    @router.get("/{number}")
    def order(number: int) -> dict[str, int]:
        if number == 7:
            raise HTTPException(402)
        return {"number": number}

    @inner.get("/things/{thing}")
    def thing(thing: str) -> str:
        return thing

    app.include_router(router, prefix="/v1")
    app.mount("/tenants/{tenant}", inner)
    app.add_middleware(UsageASGI, **GIVEN)
    for path in ("/v1/orders/1", "/v1/orders/7", "/v1/orders/x", "/tenants/9/things/2", "/nowhere", "/openapi.json"):
        run(ask(app, path, root="/deployed"))
    within: Any = app.middleware_stack
    while not isinstance(within, UsageASGI):
        within = within.app
    assert counted(within) == {
        ("GET", "/v1/orders/{number}", 200, "", ""): 1,
        ("GET", "/v1/orders/{number}", 402, "", ""): 1,
        ("GET", "/v1/orders/{number}", 422, "", ""): 1,
        ("GET", "/tenants/{tenant}/things/{thing}", 200, "", ""): 1,
        ("GET", None, 404, "", ""): 1,
        ("GET", "/openapi.json", 200, "", ""): 1,
    }


def test_time_runs_until_the_last_part_and_not_into_the_background(counted: Counted) -> None:
    order: list[str] = []

    async def stream(_: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"a", b"b"):
                await asyncio.sleep(0.02)
                yield part

        async def later() -> None:
            order.append(str(sum(counted(wrapped).values())))

        return StreamingResponse(parts(), background=BackgroundTask(later))

    wrapped = wrap(Starlette(routes=[Route("/stream", stream)]))
    run(ask(wrapped, "/stream"))
    assert order == ["1"]


def test_exceptions_and_clients_that_go_are_counted(counted: Counted) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no such luck")

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def leave() -> None:
        task = asyncio.create_task(ask(wrap(endless), "/x"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    wrapped = wrap(broken)
    with pytest.raises(RuntimeError, match="luck"):
        run(ask(wrapped, "/x"))
    run(leave())
    run(ask(wrap(silent), "/x"))
    assert counted(wrapped) == {("GET", None, 500, "", ""): 2, ("GET", None, 499, "", ""): 1}
    samples = wrapped.site.reporter.samples.take()
    assert [sample.path for sample in samples] == ["/x"] * 3
    assert samples[0].error is not None


def test_a_user_comes_from_a_header_where_a_callable_fails(counted: Counted) -> None:
    async def coroutine(_: Any) -> str:
        return "u9"

    app = Starlette(routes=[Route("/hello", hello)])
    wrapped = UsageASGI(app, user=coroutine, user_header="X-User", account_header="X-Account", **GIVEN)
    run(ask(wrapped, "/hello", headers=[(b"x-user", "zoë".encode()), (b"x-account", b"a1")]))
    assert counted(wrapped) == {("GET", "/hello", 200, "zoë", "a1"): 1}


def test_a_version_that_does_not_tell_the_route_is_understood(counted: Counted) -> None:
    """Starlette before 1.0 leaves only the endpoint, which may belong to several routes."""
    inner = Starlette(routes=[Route("/things/{thing}", hello)])
    app = Starlette(routes=[Route("/a/{b}", hello), Mount("/m/{x}", inner), Route("/once", ask)])
    found = AsgiRoutes()
    base = {"router": app.router, "endpoint": hello, "method": "GET"}
    assert found.of(base | {"path": "/a/1", "root_path": ""}, 200) == "/a/{b}"
    mounted = base | {"path": "/d/m/9/things/2", "root_path": "/d/m/9", "app_root_path": "/d"}
    assert found.of(mounted, 200) == "/m/{x}/things/{thing}"
    assert found.of(base | {"path": "/once", "root_path": "", "endpoint": ask}, 200) == "/once"
    assert found.of(base | {"path": "/x", "root_path": "", "endpoint": run}, 200) is None


def test_the_end_of_the_application_reports(door: Any) -> None:
    """uvicorn kills itself by the signal it got: nothing that runs at exit would."""

    async def life() -> None:
        app = Starlette(routes=[Route("/hello", hello)])
        wrapped = UsageASGI(app, **(GIVEN | {"url": door.url}))
        await ask(wrapped, "/hello")
        events = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> Any:
            return {"type": next(events)}

        async def send(message: Any) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                assert door.calls() == {("GET", "/hello", "200", None, None): 1}

        await wrapped({"type": "lifespan", "state": {}}, receive, send)

    run(life())
    assert sum(door.calls().values()) == 1


def test_other_kinds_of_scope_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return None

    wrapped = wrap(app)
    run(wrapped({"type": "lifespan"}, nothing, nothing))
    run(wrapped({"type": "websocket"}, nothing, nothing))
    assert seen == ["lifespan", "websocket"]
