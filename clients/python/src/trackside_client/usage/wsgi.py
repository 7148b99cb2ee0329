"""`UsageWSGI`: middleware for Flask and every other WSGI application."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from trackside_client._transport import notes
from trackside_client.usage.routes import flask_route
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import EXCEPTION, MARK, ROUTE, Site, Usage, header_text, identity

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class UsageWSGI(Usage[App, str]):
    """Reports the requests of a WSGI application.

    A request lasts until its body has been sent and closed. An exception that leaves the application counts as 500.
    `user` and `account` are called within Flask's own context: `lambda environ: flask.g.get("user_id")`. Where the
    framework is not Flask, `route` returns the template for an environ.
    """

    def _finder(self, route: Callable[[Any], str | None] | None) -> Callable[..., str | None]:
        _hear_flask()
        return flask_route if route is None else route

    def _name(self, header: str) -> str:
        return "HTTP_" + header.upper().replace("-", "_") if header else ""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, and count it once its body has been sent."""
        if self.site is None or MARK in environ:
            return self.app(environ, start_response)
        environ[MARK] = environ.get("SCRIPT_NAME", "")
        call = _Call()  # filled here: an `__init__` would cost as much as all of this
        call.middleware, call.site, call.environ, call.start_response = self, self.site, environ, start_response
        call.route, call.status, call.user, call.account = None, "", "", ""
        call.began = perf_counter()
        try:
            body = self.app(environ, call.start)
        except BaseException as error:
            call.fail(error)
            raise
        call.body = body
        kind = type(body)
        if kind is list or kind is tuple:
            call.close()
            return body
        if kind is environ.get("wsgi.file_wrapper") and call.ends_with(body):
            return body
        if not (hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")):
            call.body = ()  # a server's own way to send a file, which has to reach it unchanged
            call.close()
            return body
        return call


class _Call:
    """A request under way; it is the response's body too, so that it knows when that ends.

    `site` is None once it is counted, `status` the line that WSGI has it in, empty before the response starts.
    """

    __slots__ = (
        "account",
        "began",
        "body",
        "environ",
        "middleware",
        "route",
        "site",
        "start_response",
        "status",
        "user",
    )
    middleware: UsageWSGI
    site: Site | None
    environ: Environ
    start_response: Callable[..., Any]
    route: str | None
    status: str
    user: str
    account: str
    began: float
    body: Any

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Note the status, the route and who calls: here the framework's context is still alive."""
        self.status = status
        try:
            middleware = self.middleware
            self.route = middleware.route(self.environ)
            if middleware.asks:
                self._identify()
        except Exception:
            notes.once("route", "the route of a request could not be told", error=True)
        if exc_info is None:
            return self.start_response(status, headers)
        return self.start_response(status, headers, exc_info)

    def fail(self, error: BaseException) -> None:
        """Count the request as failed."""
        if not self.status:
            with suppress(Exception):
                self.route = self.middleware.route(self.environ)
                if self.middleware.asks:
                    self._identify()
        self._failed(error)
        self.body = ()
        self.close()

    def _failed(self, error: BaseException) -> None:
        self.status, self.environ[EXCEPTION] = "500", error

    def ends_with(self, file: Any) -> bool:
        """Have a file count the request when the server closes it; return False where its wrapper does not allow that.

        Its own `close` moves here, to where the body's is looked for.
        """
        self.body = SimpleNamespace(close=getattr(file, "close", None))
        try:
            file.close = self.close
        except AttributeError:
            self.body = file
            return False
        return True

    def _identify(self) -> None:
        middleware, environ, site = self.middleware, self.environ, self.site
        assert site is not None
        self.user = identity(site.user, environ)
        if not self.user and middleware.user_header:
            self.user = header_text(environ.get(middleware.user_header, ""))
        self.account = identity(site.account, environ)
        if not self.account and middleware.account_header:
            self.account = header_text(environ.get(middleware.account_header, ""))

    def __iter__(self) -> Iterator[bytes]:
        try:
            # not `yield from`, which would close the body once more than the server does
            for part in self.body:  # noqa: UP028
                yield part
        except GeneratorExit:  # the server has had enough
            raise
        except BaseException as error:
            self._failed(error)
            raise

    def close(self) -> None:
        """Close the body, and count the request, the first time this is called."""
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            site = self.site
            if site is not None:
                ended = perf_counter()
                self.site = None
                environ, route, status, began = self.environ, self.route, self.status or "500", self.began
                try:
                    noted = site.noted
                    key = (environ["REQUEST_METHOD"], route, status, self.user, self.account)
                    noted.append((key, began, ended))
                    if len(noted) >= site.counters.enough:
                        site.counters.fold()
                    if route is None or status >= "5" or ended - began >= SLOW:
                        path = header_text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
                        site.sample(key, ended - began, path, environ.get(EXCEPTION))
                except Exception:
                    notes.once("count", "a request could not be counted", error=True)

    def __del__(self) -> None:
        """Count a request that its server never closed; that alone, since this may run anywhere."""
        if self.site is not None:
            site, self.site = self.site, None
            key = (self.environ.get("REQUEST_METHOD", ""), self.route, self.status or "500", self.user, self.account)
            site.counters.add(key, self.began, perf_counter())


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
