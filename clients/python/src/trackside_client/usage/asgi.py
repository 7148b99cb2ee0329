"""`UsageASGI`: middleware for FastAPI, Starlette and every other ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from trackside_client.usage import notes
from trackside_client.usage.routes import AsgiRoutes
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import CLIENT_CLOSED, EXCEPTION, MARK, Identify, Site, header_text, identity, site

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class UsageASGI:
    """Reports the HTTP requests of an ASGI application.

    A request lasts until the last part of its body has been sent, or its client has gone; what runs in the background
    after that is not part of it. An exception that leaves the application counts as 500.

    Args:
        app: The application.
        user: Returns the user's id for a request's scope, or None; no coroutine. It is called as the response starts:
            `lambda scope: scope["state"].get("user_id")`.
        account: Likewise, the account's id.
        route: Returns the route's template where the framework is neither Starlette nor FastAPI; None counts as
            `(unmatched)`.
        given: Fields of `trackside_client.usage.config.Config`.

    """

    def __init__(
        self,
        app: App,
        *,
        user: Identify | None = None,
        account: Identify | None = None,
        route: Callable[[Scope], str | None] | None = None,
        **given: Any,
    ) -> None:
        self.app = app
        self.site = site(user, account, given)
        found = AsgiRoutes()
        self.route: Callable[[Scope, int], str | None] = found.of if route is None else lambda scope, _: route(scope)
        self.user_header, self.account_header = b"", b""
        if self.site is not None:
            self.user_header = self.site.config.user_header.lower().encode("latin-1", "replace")
            self.account_header = self.site.config.account_header.lower().encode("latin-1", "replace")
            self.asks = self.site.asks or bool(self.user_header or self.account_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it once its body has been sent."""
        if self.site is None or scope["type"] != "http" or MARK in scope:
            await self.app(scope, receive, self._ending(send) if scope["type"] == "lifespan" else send)
            return
        scope[MARK] = True
        call = _Call(self, self.site, scope, send)
        try:
            await self.app(scope, receive, call.send)
        except BaseException as error:
            call.fail(error)
            raise
        call.end()

    def _ending(self, send: Send) -> Send:
        """Return a `send` that reports the last requests before the application's end is told."""

        async def sending(message: Message) -> None:
            if self.site is not None and str(message["type"]).startswith("lifespan.shutdown."):
                await asyncio.get_running_loop().run_in_executor(None, self.site.reporter.finish)
            await send(message)

        return sending


class _Call:
    """A request under way."""

    __slots__ = ("_began", "_error", "_middleware", "_scope", "_send", "_site", "_status", "_who")

    def __init__(self, middleware: UsageASGI, site: Site, scope: Scope, send: Send) -> None:
        self._site: Site | None = site
        self._middleware = middleware
        self._scope = scope
        self._send = send
        self._status = 0
        self._who = ("", "")
        self._error: BaseException | None = None
        self._began = perf_counter()

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on: the first tells the status, the last is the end."""
        kind = message["type"]
        if kind == "http.response.body":
            return self._send(message) if message.get("more_body") else self._last(message)
        if kind == "http.response.start":
            self._status = message["status"]
            if self._middleware.asks:
                self._who = self._identify()
        elif kind == "http.response.pathsend":
            return self._last(message)
        return self._send(message)

    async def _last(self, message: Message) -> None:
        await self._send(message)
        self.end()

    def fail(self, error: BaseException) -> None:
        """Count the request as failed; a client that has gone is not the application's failure."""
        if isinstance(error, asyncio.CancelledError):
            self._status = self._status or CLIENT_CLOSED
        else:
            self._status, self._error = 500, error
        self.end()

    def end(self) -> None:
        """Count the request, the first time this is called."""
        site = self._site
        if site is None:
            return
        self._site = None
        ended = perf_counter()
        scope = self._scope
        began, status = self._began, self._status or 500
        try:
            route = self._middleware.route(scope, status)
            key = (scope["method"], route, status, self._who[0], self._who[1])
            site.add(key, began, ended)
            if route is None or status >= 500 or ended - began >= SLOW:
                error = self._error or scope.get(EXCEPTION)
                site.sample(key, ended - began, str(scope.get("path", "")), error)
        except Exception:
            notes.once("count", "a request could not be counted", error=True)

    def _identify(self) -> tuple[str, str]:
        middleware, scope = self._middleware, self._scope
        assert self._site is not None
        user, account = identity(self._site.user, scope), identity(self._site.account, scope)
        for name, value in scope["headers"] if middleware.user_header or middleware.account_header else ():
            if name == middleware.user_header and not user:
                user = header_text(value.decode("latin-1"))
            elif name == middleware.account_header and not account:
                account = header_text(value.decode("latin-1"))
        return user, account
