"""The ASGI callable: `/stream/NAME?ticket=...` as server-sent events, and `/healthz`."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trackside.errors import NotAllowed, NotFound, TracksideError, Unavailable
from trackside.module import StreamRoute, resolve
from trackside.problem import CONTENT_TYPE, problem_body
from trackside.registry import load_registry
from trackside.settings import Settings
from trackside.stream.hub import Hub, Listener
from trackside.stream.ticket import check

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""
LONGEST = 15 * 60.0
"""Seconds after which a stream ends; the browser comes back with a fresh ticket, if its member still may."""
SEND_LIMIT = 10.0
MOST_STREAMS = 20_000

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class StreamApp:
    """Serves the streams that modules contribute."""

    def __init__(self, settings: Settings, routes: dict[str, StreamRoute]) -> None:
        self._settings = settings
        self._routes = routes
        web = urlsplit(settings.base_url)
        self._origin = f"{web.scheme}://{web.netloc}"
        self._hub = Hub(settings.redis_pubsub_url)
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except TracksideError as error:
                await self._plain(send, error.status, problem_body(error), CONTENT_TYPE)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                self._start()
            elif self._running is not None:
                self._running.cancel()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    def _start(self) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._hub.run())

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/healthz":
            await self._plain(send, 200, b"ok\n", "text/plain; charset=utf-8")
            return
        route = self._routes.get(path.removeprefix("/stream/"))
        if scope["method"] != "GET" or not path.startswith("/stream/") or route is None:
            raise NotFound
        headers = {name.lower(): value for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1") != self._origin:
            raise NotAllowed("Streams are for Trackside's own pages only.")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        ticket = check(self._settings, query.get("ticket", [""])[0])
        if ticket.stream != route.name:
            raise NotAllowed("This ticket is for another stream.")
        if self._hub.size >= MOST_STREAMS:
            raise Unavailable("Too many streams are open: this page asks again by itself.", retry_after=30)
        self._start()
        with self._hub.listening(resolve(route.channel)(ticket.env_id)) as listener:
            await self._stream(listener, receive, send)

    async def _stream(self, listener: Listener, receive: Receive, send: Send) -> None:
        """Pass messages on until the reader goes, is too slow, or its time is over."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers(b"text/event-stream")})
        gone = asyncio.create_task(_until_gone(receive))
        ends = asyncio.get_running_loop().time() + LONGEST
        try:
            await _write(send, b"retry: 3000\n\n")
            while not gone.done() and not listener.slow and asyncio.get_running_loop().time() < ends:
                await _write(send, await _next(listener, gone))
        except (TimeoutError, OSError, RuntimeError):
            pass  # the reader is gone or does not read: nothing is owed to it
        finally:
            gone.cancel()
            with suppress(Exception):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _plain(self, send: Send, status: int, body: bytes, content_type: str) -> None:
        headers = self._headers(content_type.encode())
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _headers(self, content_type: bytes) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", content_type),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            (b"x-content-type-options", b"nosniff"),
            (b"access-control-allow-origin", self._origin.encode()),
            (b"vary", b"Origin"),
        ]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(listener: Listener, gone: "asyncio.Task[None]") -> bytes:
    """Return the next message as an event, or a comment after some silence or when the reader has gone."""
    fresh = asyncio.ensure_future(listener.messages.get())
    done, _ = await asyncio.wait({fresh, gone}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
    if fresh not in done:
        fresh.cancel()
        return b":\n\n"
    lines = b"".join(b"data: " + line + b"\n" for line in fresh.result().splitlines())
    return b"event: change\n" + lines + b"\n"


async def _write(send: Send, body: bytes) -> None:
    await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), SEND_LIMIT)


def build(settings: Settings) -> StreamApp:
    """Return the callable of these settings and their modules."""
    registry = load_registry(settings.disabled_modules)
    return StreamApp(settings, {route.name: route for route in registry.each(lambda m: m.streams)})
