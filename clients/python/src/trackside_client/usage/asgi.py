"""`UsageASGI`: middleware for FastAPI, Starlette and every other ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from trackside_client._transport import notes
from trackside_client.usage.routes import AsgiRoutes
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import CLIENT_CLOSED, EXCEPTION, MARK, Usage, header_text, identity

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class UsageASGI(Usage[App, bytes]):
    """Reports the HTTP requests of an ASGI application.

    A request lasts until the last part of its body has been sent, or its client has gone; what runs in the background
    after that is not part of it. An exception that leaves the application counts as 500. `user` and `account` are no
    coroutines: `lambda scope: scope["state"].get("user_id")`. Where the framework is neither Starlette nor FastAPI,
    `route` returns the template for a scope.
    """

    def _finder(self, route: Callable[[Any], str | None] | None) -> Callable[..., str | None]:
        return AsgiRoutes().of if route is None else lambda scope, _: route(scope)

    def _name(self, header: str) -> bytes:
        return header.lower().encode("latin-1", "replace")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it once its body has been sent."""
        if self.site is None or scope["type"] != "http" or MARK in scope:
            await self.app(scope, receive, self._ending(send) if scope["type"] == "lifespan" else send)
            return
        scope[MARK] = True
        call = _Call()  # filled here: an `__init__` would cost as much as all of this
        call.usage, call.scope, call.pass_on = self, scope, send
        call.status, call.user, call.account = 0, "", ""
        call.began = perf_counter()
        try:
            await self.app(scope, receive, call.send)
        except BaseException as error:
            call.fail(error)
            raise
        if call.scope is not None:  # nothing, or not all of it, was sent
            call.end(None)

    def _ending(self, send: Send) -> Send:
        """Return a `send` that reports the last requests before the application's end is told."""

        async def sending(message: Message) -> None:
            if self.site is not None and str(message["type"]).startswith("lifespan.shutdown."):
                await asyncio.get_running_loop().run_in_executor(None, self.site.reporter.finish)
            await send(message)

        return sending


class _Call:
    """A request under way; `scope` is None once it is counted."""

    __slots__ = ("account", "began", "pass_on", "scope", "status", "usage", "user")
    usage: UsageASGI
    scope: Any
    pass_on: Send
    status: int
    user: str
    account: str
    began: float

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on: the first tells the status, the last is the end."""
        kind = message["type"]
        if kind == "http.response.body":
            return self.pass_on(message) if message.get("more_body") else self._last(message)
        if kind == "http.response.start":
            self.status = message["status"]
            if self.usage.asks:
                self._identify()
        elif kind == "http.response.pathsend":
            return self._last(message)
        return self.pass_on(message)

    async def _last(self, message: Message) -> None:
        await self.pass_on(message)
        if self.scope is not None:
            self.end(None)

    def fail(self, error: BaseException) -> None:
        """Count the request as failed; a client that has gone is not the application's failure."""
        if self.scope is None:
            return
        if isinstance(error, asyncio.CancelledError):
            self.status = self.status or CLIENT_CLOSED
            self.end(None)
        else:
            self.status = 500
            self.end(error)

    def end(self, error: BaseException | None) -> None:
        """Count the request, which is not counted yet."""
        ended, began = perf_counter(), self.began
        scope, self.scope = self.scope, None
        usage, status = self.usage, self.status or 500
        try:
            route = usage.route(scope, status)
            key = (scope["method"], route, status, self.user, self.account)
            noted = usage.noted
            noted.append((key, began, ended))
            if len(noted) >= usage.counters.enough:
                usage.counters.fold()
            if route is None or status >= 500 or ended - began >= SLOW:
                site = usage.site
                assert site is not None
                site.sample(key, ended - began, str(scope.get("path", "")), error or scope.get(EXCEPTION))
        except Exception:
            notes.once("count", "a request could not be counted", error=True)

    def _identify(self) -> None:
        usage, scope = self.usage, self.scope
        if scope is None or usage.site is None:
            return
        self.user, self.account = identity(usage.site.user, scope), identity(usage.site.account, scope)
        for name, value in scope["headers"] if usage.user_header or usage.account_header else ():
            if name == usage.user_header and not self.user:
                self.user = header_text(value.decode("latin-1"))
            elif name == usage.account_header and not self.account:
                self.account = header_text(value.decode("latin-1"))
