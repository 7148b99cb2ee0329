"""The ASGI callable: `/stream/NAME?ticket=...` as server-sent events, routes with a path of their own, `/healthz`."""

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from trackside.auth import keyring
from trackside.auth.keyring import KeyRing
from trackside.errors import NotAllowed, NotAuthenticated, NotFound, TracksideError, Unavailable
from trackside.module import StreamRoute, resolve
from trackside.problem import CONTENT_TYPE, problem_body
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings
from trackside.stream.feed import Feed
from trackside.stream.hub import Hub, Listener
from trackside.stream.server import PUSH
from trackside.stream.ticket import Ticket, check, mark

log = structlog.get_logger(__name__)
LONGEST = 15 * 60.0
"""Seconds after which a page's stream ends; the browser comes back with a fresh ticket, if its member still may."""
MOST_STREAMS = 20_000
LOOK = 2.0
"""Seconds between two looks of a feed where nothing was published."""

_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, OPTIONS"),
    (b"access-control-allow-headers", b"Authorization, Cache-Control, Last-Event-ID, X-API-Key"),
    (b"access-control-max-age", b"86400"),
)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class StreamApp:
    """Serves the streams that modules contribute.

    Args:
        settings: where Redis is, and what signs tickets.
        routes: by name.
        runtime: where the keys and the feeds are; without one, routes that need them are refused.

    """

    def __init__(self, settings: Settings, routes: dict[str, StreamRoute], runtime: Runtime | None = None) -> None:
        self._settings = settings
        self._routes = routes
        self._paths = {route.path: route for route in routes.values() if route.path}
        web = urlsplit(settings.base_url)
        self._origin = f"{web.scheme}://{web.netloc}"
        self._hub = Hub(settings.redis_pubsub_url)
        self._keys: KeyRing | None = None
        self._feeds: dict[str, Feed] = {}
        if runtime is not None:
            self._keys = keyring.build(runtime)
            self._keys.begin()
            self._feeds = {name: resolve(it.feed)(runtime) for name, it in routes.items() if it.feed}
        self._bells: dict[str, asyncio.Event] = {}
        self._looked: dict[str, asyncio.Event] = {}
        """Set once a feed has looked: who came before would be told what they know."""
        self._running: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except TracksideError as error:
                wait = getattr(error, "retry_after", None)
                more = [] if wait is None else [(b"retry-after", str(wait).encode())]
                headers = [*self._headers(CONTENT_TYPE.encode(), scope["path"]), *more]
                await _whole(send, error.status, headers, problem_body(error))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                self._start()
            else:
                for task in self._running:
                    task.cancel()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    def _start(self) -> None:
        """Hear Redis and the feeds, unless that is done already."""
        if self._running and not any(task.done() for task in self._running):
            return
        for task in self._running:
            task.cancel()
        self._bells, self._looked = ({name: asyncio.Event() for name in self._feeds} for _ in range(2))
        work = [self._hub.run(), self._hub.beat(), *(self._follow(name) for name in self._feeds)]
        self._running = [asyncio.create_task(each) for each in work]

    async def _follow(self, name: str) -> None:
        """Tell what a feed finds, whenever something is published and now and then."""
        feed, bell = self._feeds[name], self._bells[name]
        channel_of = resolve(self._routes[name].channel)
        away = False
        while True:
            bell.clear()
            try:
                for env_id, news in (await asyncio.to_thread(feed.look)).items():
                    self._hub.tell(channel_of(env_id), news)
                away = False
            except SQLAlchemyError as error:
                if not away:
                    log.warning("stream.database_away", stream=name, error=type(error).__name__)
                away = True
            self._looked[name].set()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await bell.wait()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/healthz":
            await _whole(send, 200, self._headers(b"text/plain; charset=utf-8", path), b"ok\n")
            return
        route = self._paths.get(path)
        if route is not None and scope["method"] == "OPTIONS":
            await _whole(send, 204, [*self._headers(b"text/plain", path), *_PREFLIGHT], b"")
            return
        if route is None and path.startswith("/stream/"):
            route = self._routes.get(path.removeprefix("/stream/"))
        if scope["method"] != "GET" or route is None:
            raise NotFound
        ticket = await self._admit(route, scope)
        if self._hub.size >= MOST_STREAMS:
            raise Unavailable("Too many streams are open: this page asks again by itself.", retry_after=30)
        self._start()
        push = scope.get("extensions", {}).get(PUSH)
        scope.clear()  # thousands of them would be kept for as long as the streams are open
        channel = resolve(route.channel)(ticket.env_id)
        if route.name in self._bells:
            self._hub.bells[channel] = self._bells[route.name].set
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._looked[route.name].wait()
        heard = Listener(self._may_stay(ticket), is_insider=ticket.is_insider)
        with self._hub.listening(channel, heard) as listener:
            await send(_begin(200, self._headers(b"text/event-stream", path)))
            await send({"type": "http.response.body", "body": self._greeting(route, ticket), "more_body": True})
            listener.push = push
            await _stream(listener, receive, send)

    async def _admit(self, route: StreamRoute, scope: Message) -> Ticket:
        """Return what the asker may hear; raises NotAuthenticated or NotAllowed."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] != route.path and headers.get(b"origin", self._origin) != self._origin:
            raise NotAllowed("Streams are for Trackside's own pages only.")
        query = scope.get("query_string", b"").decode("latin-1")
        if route.kinds and self._keys is not None and (b"authorization" in headers or b"x-api-key" in headers):
            environ = {
                "HTTP_AUTHORIZATION": headers.get(b"authorization", ""),
                "HTTP_X_API_KEY": headers.get(b"x-api-key", ""),
                "HTTP_X_FORWARDED_FOR": headers.get(b"x-forwarded-for", ""),
                "QUERY_STRING": query,
                "REMOTE_ADDR": (scope.get("client") or ("",))[0],
            }
            key = await asyncio.to_thread(self._keys.authenticate, environ)
            key.check(route.kinds)
            return Ticket(route.name, key.env_id, key.key_id, is_insider=key.kind in route.insiders)
        returning = headers.get(b"last-event-id", "") if route.path else ""
        ticket = check(self._settings, parse_qs(query).get("ticket", [""])[0], returning)
        if ticket.stream != route.name:
            raise NotAllowed("This ticket is for another stream.")
        keys = self._keys
        if ticket.key_id and (keys is None or not await asyncio.to_thread(keys.knows, *_key(ticket))):
            raise NotAuthenticated("The API key behind this ticket does not work any more.")
        return ticket

    def _may_stay(self, ticket: Ticket) -> Callable[[], bool]:
        """Return what says whether a stream may go on: as long as its key lives, or a page for some minutes."""
        keys, loop = self._keys, asyncio.get_running_loop()
        if ticket.key_id and keys is not None:
            return lambda: keys.lives(*_key(ticket))
        ends = loop.time() + LONGEST
        return lambda: loop.time() < ends

    def _greeting(self, route: StreamRoute, ticket: Ticket) -> bytes:
        """Return what is sent first: how to come back, and how things stand where the asker does not know it."""
        # not all at the same moment, when a server was restarted
        hello = b"retry: %d\n\n" % random.randint(2000, 6000)  # noqa: S311 - no secret
        feed = self._feeds.get(route.name)
        if feed is None:
            return hello
        state = feed.state(ticket.env_id)
        again = mark(self._settings, Ticket(ticket.stream, ticket.env_id, ticket.key_id, state))
        news = feed.present(ticket.env_id) if ticket.seen != state else b""
        return b"%bid: %b\n\n%b" % (hello, again.encode(), news)

    def _headers(self, content_type: bytes, path: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", content_type),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            (b"x-content-type-options", b"nosniff"),
            (b"access-control-allow-origin", b"*" if path in self._paths else self._origin.encode()),
            (b"vary", b"Origin"),
        ]


def _key(ticket: Ticket) -> tuple[int, int]:
    return ticket.env_id, ticket.key_id


def _begin(status: int, headers: list[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


async def _whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send(_begin(status, headers))
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _stream(listener: Listener, receive: Receive, send: Send) -> None:
    """Pass events on until the reader goes, is too slow, or may not stay."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    listener.stop = task.cancel
    gone = asyncio.create_task(_until_gone(receive, listener))
    try:
        while (events := await listener.next()) or not listener.ended:
            listener.sending = loop.time()
            await send({"type": "http.response.body", "body": events, "more_body": True})
            listener.sending = 0.0
    except (OSError, RuntimeError):
        pass  # the reader is gone: nothing is owed to it
    except asyncio.CancelledError:
        if not listener.ended:
            raise
    finally:
        gone.cancel()
        with suppress(Exception):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()


def build(settings: Settings) -> StreamApp:
    """Return the callable of these settings and their modules."""
    runtime = build_runtime(settings)
    return StreamApp(settings, {route.name: route for route in runtime.registry.each(lambda m: m.streams)}, runtime)
