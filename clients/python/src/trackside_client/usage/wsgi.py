"""`UsageWSGI`: middleware for Flask and every other WSGI application."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any

from trackside_client.usage import notes
from trackside_client.usage.routes import flask_route
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import EXCEPTION, MARK, ROUTE, Identify, Site, header_text, identity, site

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class UsageWSGI:
    """Reports the requests of a WSGI application.

    A request lasts until its body has been sent and closed. An exception that leaves the application counts as 500.

    Args:
        app: The application.
        user: Returns the user's id for a request's environ, or None. It is called as the response starts, within
            Flask's own context: `lambda environ: flask.g.get("user_id")`.
        account: Likewise, the account's id.
        route: Returns the route's template where the framework is not Flask; None counts as `(unmatched)`.
        given: Fields of `trackside_client.usage.config.Config`.

    """

    def __init__(
        self,
        app: App,
        *,
        user: Identify | None = None,
        account: Identify | None = None,
        route: Callable[[Environ], str | None] = flask_route,
        **given: Any,
    ) -> None:
        self.app = app
        self.site = site(user, account, given)
        self.route = route
        self.user_key, self.account_key, self.asks = "", "", False
        if self.site is not None:
            self.user_key = _environ_key(self.site.config.user_header)
            self.account_key = _environ_key(self.site.config.account_header)
            self.asks = self.site.asks or bool(self.user_key or self.account_key)
            _hear_flask()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, and count it once its body has been sent."""
        if self.site is None or MARK in environ:
            return self.app(environ, start_response)
        environ[MARK] = environ.get("SCRIPT_NAME", "")
        call = _Call(self, self.site, environ, start_response)
        try:
            body = self.app(environ, call.start)
        except BaseException as error:
            call.fail(error)
            raise
        return call.follow(body)


class _Call:
    """A request under way; it is the response's body too, so that it knows when that ends."""

    __slots__ = (
        "_began",
        "_body",
        "_environ",
        "_error",
        "_middleware",
        "_parts",
        "_route",
        "_site",
        "_start",
        "_status",
        "_who",
    )

    def __init__(self, middleware: UsageWSGI, site: Site, environ: Environ, start_response: Callable[..., Any]) -> None:
        self._site: Site | None = site
        self._middleware = middleware
        self._environ = environ
        self._start = start_response
        self._status = 0
        self._route: str | None = None
        self._who = ("", "")
        self._error: BaseException | None = None
        self._began = perf_counter()

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Note the status, the route and who calls: here the framework's context is still alive."""
        try:
            self._status = int(status[:3])
            middleware = self._middleware
            self._route = middleware.route(self._environ)
            if middleware.asks and self._site is not None:
                self._who = self._identify(self._site)
        except Exception:
            notes.once("route", "the route of a request could not be told", error=True)
        return self._start(status, headers) if exc_info is None else self._start(status, headers, exc_info)

    def _look(self) -> None:
        middleware = self._middleware
        self._route = middleware.route(self._environ)
        if middleware.asks and self._site is not None:
            self._who = self._identify(self._site)

    def follow(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server is to send: the body as it is where its end can be known, else this."""
        kind = type(body)
        if kind is list or kind is tuple:
            self.end()
            return body
        if kind is self._environ.get("wsgi.file_wrapper") and _ends_with(body, self.end):
            return body
        self._body = body
        try:
            self._parts = iter(body)
        except TypeError:  # a server's own way to send a file, which has to reach it unchanged
            self.end()
            return body
        return self

    def fail(self, error: BaseException) -> None:
        """Count the request as failed."""
        if not self._status:
            with suppress(Exception):
                self._look()
        self._status, self._error = 500, error
        self.end()

    def end(self) -> None:
        """Count the request, the first time this is called."""
        site = self._site
        if site is None:
            return
        self._site = None
        ended = perf_counter()
        began, status, route = self._began, self._status or 500, self._route
        try:
            key = (self._environ["REQUEST_METHOD"], route, status, self._who[0], self._who[1])
            site.add(key, began, ended)
            if route is None or status >= 500 or ended - began >= SLOW:
                environ = self._environ
                path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
                site.sample(key, ended - began, header_text(path), self._error or environ.get(EXCEPTION))
        except Exception:
            notes.once("count", "a request could not be counted", error=True)

    def _identify(self, site: Site) -> tuple[str, str]:
        middleware, environ = self._middleware, self._environ
        user = identity(site.user, environ)
        if not user and middleware.user_key:
            user = header_text(environ.get(middleware.user_key, ""))
        account = identity(site.account, environ)
        if not account and middleware.account_key:
            account = header_text(environ.get(middleware.account_key, ""))
        return user, account

    def __iter__(self) -> Iterator[bytes]:
        try:
            # not `yield from`, which would close the body once more than the server does
            for part in self._parts:  # noqa: UP028
                yield part
        except GeneratorExit:  # the server has had enough
            raise
        except BaseException as error:
            self._status, self._error = 500, error
            raise

    def close(self) -> None:
        """Close the body, and count the request."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._status, self._error = 500, error
            raise
        finally:
            self.end()

    def __del__(self) -> None:
        """Count a request that its server never closed; later, since this may run anywhere."""
        if self._site is not None:
            site, self._site = self._site, None
            key = (
                self._environ.get("REQUEST_METHOD", ""),
                self._route,
                self._status or 500,
                self._who[0],
                self._who[1],
            )
            site.reporter.counters.add_later(key, self._began, perf_counter())


def _ends_with(body: Any, end: Callable[[], None]) -> bool:
    """Have `end` called when the server closes a file; False where the file's wrapper does not allow that."""
    close = getattr(body, "close", None)

    def closing() -> None:
        try:
            if close is not None:
                close()
        finally:
            end()

    try:
        body.close = closing
    except AttributeError:
        return False
    return True


def _environ_key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_") if header else ""


def _hear_flask() -> None:
    """Learn of the exceptions that Flask turns into a 500, where it is used."""
    flask = sys.modules.get("flask")
    if flask is not None:
        flask.got_request_exception.connect(_flask_failed)


def _flask_failed(_sender: object, exception: BaseException, **_: object) -> None:
    from flask import request

    request.environ[EXCEPTION] = exception
    if request.url_rule is not None:  # where Flask lets the exception through, its own context has gone by then
        request.environ[ROUTE] = request.url_rule.rule
