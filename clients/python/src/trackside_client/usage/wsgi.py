"""`UsageWSGI`: middleware for Flask and every other WSGI application."""

import sys
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from trackside_client._transport import notes
from trackside_client.usage.routes import flask_route
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import EXCEPTION, MARK, NOBODY, ROUTE, Usage, header_text, identity

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
_Key = tuple[str, "str | None", str, str, str]
"""Method, route, WSGI's status line, user, account."""
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

    def who(self, environ: Environ) -> tuple[str, str]:
        """Return the user and the account of a request."""
        site = self.site
        assert site is not None
        user, account = identity(site.user, environ), identity(site.account, environ)
        if not user and self.user_header:
            user = header_text(environ.get(self.user_header, ""))
        if not account and self.account_header:
            account = header_text(environ.get(self.account_header, ""))
        return user, account

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, and count it once its body has been sent."""
        if self.site is None or MARK in environ:
            return self.app(environ, start_response)
        environ[MARK] = prefix = environ.get("SCRIPT_NAME", "")
        call = _Call()  # filled here: an `__init__` would cost as much as all of this
        call.usage, call.environ, call.prefix = self, environ, prefix
        call.start_response, call.key = start_response, None
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

    `environ` is None once it is counted, `key` before the response starts.
    """

    __slots__ = ("began", "body", "environ", "key", "prefix", "start_response", "usage")
    usage: UsageWSGI
    environ: Any
    start_response: Callable[..., Any]
    prefix: str
    key: _Key | None
    began: float
    body: Any

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """Note the status, the route and who calls: here the framework's context is still alive."""
        usage, environ = self.usage, self.environ
        try:
            # as `flask_route` has it, which is asked where this is not so
            if usage.is_flask and environ["SCRIPT_NAME"] == self.prefix:
                route = environ["werkzeug.request"].url_rule.rule
            else:
                route = usage.route(environ)
            user, account = usage.who(environ) if usage.asks else NOBODY
            self.key = environ["REQUEST_METHOD"], route, status, user, account
        except Exception:
            self.key = self._ask(status)
        if exc_info is None:
            return self.start_response(status, headers)
        return self.start_response(status, headers, exc_info)

    def _ask(self, status: str) -> _Key:
        """Return the key of this request, found the careful way."""
        usage, environ = self.usage, self.environ or {}
        route, user, account = None, "", ""
        try:
            route = usage.route(environ)
            if usage.asks:
                user, account = usage.who(environ)
        except Exception:
            notes.once("route", "the route of a request could not be told", error=True)
        return environ.get("REQUEST_METHOD", ""), route, status, user, account

    def fail(self, error: BaseException) -> None:
        """Count the request as failed."""
        self._failed(error)
        self.body = ()
        self.close()

    def _failed(self, error: BaseException) -> None:
        if self.environ is not None:
            method, route, _, user, account = self.key or self._ask("500")
            self.key = method, route, "500", user, account
            self.environ[EXCEPTION] = error

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
                    ended, began, key = perf_counter(), self.began, self.key
                    if key is None:
                        key = self._ask("500")
                    self.environ = None
                    usage = self.usage
                    noted = usage.noted
                    noted.append((key, began, ended))
                    if len(noted) >= usage.counters.enough:
                        usage.counters.fold()
                    if key[1] is None or key[2] >= "5" or ended - began >= SLOW:
                        self._sample(environ, key, ended - began)
                except Exception:
                    notes.once("count", "a request could not be counted", error=True)

    def _sample(self, environ: Environ, key: _Key, seconds: float) -> None:
        site = self.usage.site
        assert site is not None
        path = header_text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        site.sample(key, seconds, path, environ.get(EXCEPTION))

    def __del__(self) -> None:
        """Count a request that its server never closed; that alone, since this may run anywhere."""
        if self.environ is not None:
            key = self.key or (self.environ.get("REQUEST_METHOD", ""), None, "500", "", "")
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
