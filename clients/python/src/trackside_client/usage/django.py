"""Middleware for Django: `"trackside_client.usage.django.UsageMiddleware"`, first in `MIDDLEWARE`.

The setting `TRACKSIDE` is a dictionary of what the middleware may be told: `user` and `account` (functions of a
request, or their dotted names) and the fields of `trackside_client.usage.config.Config`.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.signals import got_request_exception
from django.utils.module_loading import import_string

from trackside_client._transport import notes
from trackside_client.usage.samples import SLOW
from trackside_client.usage.site import MARK, Identify, header_text, identity, site


class UsageMiddleware:
    """Reports the requests of a Django project; one lasts until its response has been sent and closed."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        given = dict(getattr(settings, "TRACKSIDE", {}))
        self.site = site(_function(given.pop("user", None)), _function(given.pop("account", None)), given)
        if self.site is not None:
            self.counters, found = self.site.counters, self.site.config
            self.asks = self.site.asks or bool(found.user_header or found.account_header)
        got_request_exception.connect(_failed)

    def __call__(self, request: Any) -> Any:
        """Answer a request, and count it once its response is closed."""
        if self.site is None or MARK in request.META:
            return self.get_response(request)
        request.META[MARK] = True
        began = perf_counter()
        if self.is_async:
            return self._answer(request, began)
        return self._followed(request, self.get_response(request), began)

    async def _answer(self, request: Any, began: float) -> Any:
        return self._followed(request, await self.get_response(request), began)

    def _followed(self, request: Any, response: Any, began: float) -> Any:
        """Return the response, its `close` made to count the request."""
        call = _Call()
        call.middleware, call.request, call.response, call.began = self, request, response, began
        call.user, call.account = self._identified(request) if self.asks else ("", "")
        call.close = response.close
        response.close = call.end
        return response

    def _identified(self, request: Any) -> tuple[str, str]:
        site = self.site
        assert site is not None
        headers, names = request.headers, site.config
        user = identity(site.user, request) or header_text(headers.get(names.user_header, ""))
        return user, identity(site.account, request) or header_text(headers.get(names.account_header, ""))

    def count(self, request: Any, call: "_Call", status: int) -> None:
        """Count a request that has ended; never raises."""
        ended, began = perf_counter(), call.began
        try:
            match = request.resolver_match
            route = None if match is None else "/" + (match.route or "").lstrip("/")
            key = (request.method or "", route, status, call.user, call.account)
            self.counters.add(key, began, ended)
            if (route is None or status >= 500 or ended - began >= SLOW) and self.site is not None:
                self.site.sample(key, ended - began, request.path, getattr(request, "_trackside_exception", None))
        except Exception:
            notes.once("count", "a request could not be counted", error=True)


class _Call:
    """A request under way; `request` is None once it is counted."""

    __slots__ = ("account", "began", "close", "middleware", "request", "response", "user")
    middleware: UsageMiddleware
    request: Any
    response: Any
    close: Any
    began: float
    user: str
    account: str

    def end(self) -> None:
        """Close the response, as often as it is asked for, and count the request the first time."""
        request, response = self.request, self.response
        self.request = None
        try:
            self.close()
        finally:
            if request is not None:
                self.middleware.count(request, self, response.status_code)
                is_own = getattr(self.close, "__self__", None) is response
                if is_own and vars(response).get("close") == self.end:
                    del response.close  # its class has it; the two would keep each other until garbage is collected


def _function(given: Any) -> Identify | None:
    """Return a function that may be given by its dotted name; None, with a line in the log, where there is none."""
    try:
        found: Identify | None = import_string(given) if isinstance(given, str) else given
    except ImportError as error:
        notes.once("identity", "TRACKSIDE names a function that is not there: %s", error)
        return None
    return found


def _failed(sender: object, request: Any, **_: object) -> None:
    """Remember the exception that Django turns into a 500."""
    request._trackside_exception = sys.exc_info()[1]
