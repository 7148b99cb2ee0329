"""The middleware of Django, under WSGI and ASGI."""

import asyncio
import gc
import io
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.util import FileWrapper

import django
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import clear_url_caches, include, path, re_path
from werkzeug.test import Client

from trackside_client.usage.django import UsageMiddleware

Counted = Callable[[Any], dict[tuple[Any, ...], int]]


def order(request: HttpRequest, number: int) -> HttpResponse:
    if number == 7:
        raise RuntimeError("no such luck")
    return HttpResponse("order")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter(["a", "b"]))


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(b"abc"))


urlpatterns = [
    path("v1/", include([path("orders/<int:number>", order), re_path(r"^old/(\d+)$", order)])),
    path("stream", stream),
    path("file", file),
]


def user_of(request: HttpRequest) -> str | None:
    return request.GET.get("user")


@pytest.fixture(autouse=True)
def project() -> None:
    """Configure Django, once for the process."""
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            DATABASES={},
            LOGGING_CONFIG=None,
            MIDDLEWARE=["trackside_client.usage.django.UsageMiddleware"],
            ROOT_URLCONF=__name__,
            SECRET_KEY="signs nothing",
            TRACKSIDE={"url": "http://127.0.0.1:9", "api_key": "key", "flush_seconds": 60, "user": user_of},
        )
        django.setup()
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": urlpatterns})
    clear_url_caches()


@pytest.fixture
def middleware() -> UsageMiddleware:
    """Reach the reporter that the project's own middleware uses."""
    return UsageMiddleware(lambda _: HttpResponse())


EXPECTED = {
    ("GET", "/v1/orders/<int:number>", 200, "u1", ""): 1,
    ("GET", "/v1/orders/<int:number>", 500, "", ""): 1,
    ("GET", "/v1/old/(\\d+)$", 200, "", ""): 1,
    ("GET", "/stream", 200, "", ""): 1,
    ("GET", "/file", 200, "", ""): 1,
    ("GET", None, 404, "", ""): 1,
}
PATHS = ("/v1/orders/1?user=u1", "/v1/orders/7", "/v1/old/3", "/stream", "/file", "/nowhere")


def test_djangos_routes_are_counted_under_wsgi(middleware: UsageMiddleware, counted: Counted) -> None:
    client = Client(WSGIHandler())
    for each in PATHS:
        answer = client.get(each, environ_overrides={"wsgi.file_wrapper": FileWrapper})
        assert (b"".join(answer.response), answer.close())[0] != b""
    assert counted(middleware) == EXPECTED
    error = next(sample.error for sample in middleware.site.reporter.samples.take() if sample.key[2] == 500)
    assert error is not None
    assert error[:2] == ("RuntimeError", "no such luck")


def test_a_response_goes_with_its_last_holder_and_may_be_closed_again(counted: Counted) -> None:
    given: list[HttpResponse] = [HttpResponse()]
    made = UsageMiddleware(lambda _: given[0])
    counted(made)
    request = HttpRequest()
    request.method = "GET"
    response = made(request)
    assert counted(made) == {}
    response.close()
    response.close()
    assert counted(made) == {("GET", None, 200, "", ""): 1}
    seen = weakref.ref(response)
    gc.disable()
    try:
        given.clear()
        del response
        assert seen() is None
    finally:
        gc.enable()


def test_djangos_routes_are_counted_under_asgi(middleware: UsageMiddleware, counted: Counted) -> None:
    async def ask(app: Any, target: str) -> None:
        asked: list[None] = []

        async def receive() -> dict[str, Any]:
            if asked:
                await asyncio.sleep(60)
            asked.append(None)
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            pass

        at, _, query = target.partition("?")
        scope = {"type": "http", "method": "GET", "path": at, "query_string": query.encode(), "headers": []}
        await app(scope, receive, send)

    async def all_of_them() -> None:
        app = ASGIHandler()
        for each in PATHS:
            await ask(app, each)

    with ThreadPoolExecutor(1) as pool, pytest.warns(Warning, match="StreamingHttpResponse must consume"):
        pool.submit(asyncio.run, all_of_them()).result(180)
    assert counted(middleware) == EXPECTED
