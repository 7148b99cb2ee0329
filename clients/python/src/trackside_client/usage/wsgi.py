"""`UsageWSGI`: middleware for Flask and every other WSGI application."""

import sys
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from trackside_client._transport import notes
from trackside_client.usage.counters import Noted
from trackside_client.usage.routes import flask_route
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import EXCEPTION, MARK, ROUTE, Usage, header_text, identity

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
_MOST_KINDS = 100
"""Types of bodies known to be streams."""


class UsageWSGI(Usage[App, str]):
    """Reports the requests of a WSGI application.

    A request lasts until its body has been sent and closed. An exception that leaves the application counts as 500.
    `user` and `account` are called within Flask's own context: `lambda environ: flask.g.get("user_id")`. Where the
    framework is not Flask, `route` returns the template for an environ.
    """

    def _finder(self, route: Callable[[Any], str | None] | None) -> Callable[..., str | None]:
        _hear_flask()
        self.is_flask = route is None
        self.streams: set[type] = set()
        return flask_route if route is None else route

    def _name(self, header: str) -> str:
        return "HTTP_" + header.upper().replace("-", "_") if header else ""

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, and count it once its body has been sent."""
        if self.site is None or MARK in environ:
            return self.app(environ, start_response)
        environ[MARK] = prefix = environ.get("SCRIPT_NAME", "")
        call = _Call()  # filled here: an `__init__` would cost as much as all of this
        call.usage, call.environ, call.prefix = self, environ, prefix
        call.start_response, call.status = start_response, ""
        call.began = perf_counter()
        try:
            call.body = body = self.app(environ, call.start)
        except BaseException as error:
            call.fail(error)
            raise
        kind = type(body)
        if kind in self.streams or self._is_stream(call, kind):
            return call
        return body

    def _is_stream(self, call: "_Call", kind: type) -> bool:
        """Tell whether the call has to stand in for its body, to know when that ends; what has not is told so here."""
        body = call.body
        if kind is list or kind is tuple:
            call.close()
            return False
        if kind is call.environ.get("wsgi.file_wrapper"):
            return not call.ends_with(body)
        if not (hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")):
            call.body = ()  # a server's own way to send a file, which has to reach it unchanged
            call.close()
            return False
        if len(self.streams) < _MOST_KINDS:
            self.streams.add(kind)
        return True


class _Call:
    """A request under way; it is the response's body too, so that it knows when that ends.

    `environ` is None once it is counted, `status` the line that WSGI has it in, empty before the response starts; until
    then `route`, `user` and `account` are not there.
    """

    __slots__ = ("account", "began", "body", "environ", "prefix", "route", "start_response", "status", "usage", "user")
    usage: UsageWSGI
    environ: Any
    start_response: Callable[..., Any]
    prefix: str
    route: str | None
    status: str
    user: str
    account: str
    began: float
    body: Any

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Note the status, the route and who calls: here the framework's context is still alive."""
        usage, environ = self.usage, self.environ
        self.status = status
        try:
            # as `flask_route` has it, which is asked where this is not so
            if usage.is_flask and environ["SCRIPT_NAME"] == self.prefix:
                self.route = environ["werkzeug.request"].url_rule.rule
            else:
                self.route = usage.route(environ)
            if usage.asks:
                self._identify()
            else:
                self.user = self.account = ""
        except Exception:
            self._ask()
        if exc_info is None:
            return self.start_response(status, headers)
        return self.start_response(status, headers, exc_info)

    def _ask(self) -> None:
        """Find the route and who calls, the careful way."""
        self.route, self.user, self.account = None, "", ""
        try:
            self.route = self.usage.route(self.environ)
            if self.usage.asks:
                self._identify()
        except Exception:
            notes.once("route", "the route of a request could not be told", error=True)

    def fail(self, error: BaseException) -> None:
        """Count the request as failed."""
        self._failed(error)
        self.body = ()
        self.close()

    def _failed(self, error: BaseException) -> None:
        if self.environ is not None:
            if not self.status:
                self._ask()
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
        usage, environ = self.usage, self.environ
        assert usage.site is not None
        self.user = identity(usage.site.user, environ)
        if not self.user and usage.user_header:
            self.user = header_text(environ.get(usage.user_header, ""))
        self.account = identity(usage.site.account, environ)
        if not self.account and usage.account_header:
            self.account = header_text(environ.get(usage.account_header, ""))

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
            try:
                close = self.body.close
            except AttributeError:
                pass
            else:
                close()
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            environ = self.environ
            if environ is not None:
                try:
                    ended, began = perf_counter(), self.began
                    if not (status := self.status):
                        self._ask()
                        status = "500"
                    self.environ = None
                    route, usage = self.route, self.usage
                    noted = usage.noted
                    noted.append((environ["REQUEST_METHOD"], route, status, self.user, self.account, began, ended))
                    if len(noted) >= usage.counters.enough:
                        usage.counters.fold()
                    if route is None or status >= "5" or ended - began >= SLOW:
                        self._sample(environ, status, ended - began)
                except Exception:
                    notes.once("count", "a request could not be counted", error=True)

    def _sample(self, environ: Environ, status: str, seconds: float) -> None:
        site = self.usage.site
        assert site is not None
        path = header_text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        key = (environ["REQUEST_METHOD"], self.route, status, self.user, self.account)
        site.sample(key, seconds, path, environ.get(EXCEPTION))

    def __del__(self) -> None:
        """Count a request that its server never closed; that alone, since this may run anywhere."""
        if self.environ is not None:
            method = self.environ.get("REQUEST_METHOD", "")
            key: Noted = (method, None, "500", "", "")
            if self.status:
                key = (method, self.route, self.status, self.user, self.account)
            self.usage.counters.add(key, self.began, perf_counter())


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
