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
from trackside_client.usage.site import MARK, Identify, Site, header_text, identity, site


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
        got_request_exception.connect(_failed)

    def __call__(self, request: Any) -> Any:
        """Answer a request, and count it once its response is closed."""
        if self.site is None or MARK in request.META:
            return self.get_response(request)
        request.META[MARK] = True
        began = perf_counter()
        if self.is_async:
            return self._answer(self.site, request, began)
        return _followed(self.site, request, self.get_response(request), began)

    async def _answer(self, site: Site, request: Any, began: float) -> Any:
        return _followed(site, request, await self.get_response(request), began)


def _followed(site: Site, request: Any, response: Any, began: float) -> Any:
    """Return the response, its `close` made to count the request."""
    who = ("", "")
    if site.asks or site.config.user_header or site.config.account_header:
        headers = request.headers
        user = identity(site.user, request) or header_text(headers.get(site.config.user_header, ""))
        who = user, identity(site.account, request) or header_text(headers.get(site.config.account_header, ""))
    close = response.close
    done: list[bool] = []

    def closing() -> None:
        try:
            close()
        finally:
            if not done:
                done.append(True)
                _count(site, request, response.status_code, who, (began, perf_counter()))

    response.close = closing
    return response


def _count(site: Site, request: Any, status: int, who: tuple[str, str], times: tuple[float, float]) -> None:
    try:
        match = request.resolver_match
        route = None if match is None else "/" + (match.route or "").lstrip("/")
        key = (request.method or "", route, status, who[0], who[1])
        site.counters.add(key, *times)
        if route is None or status >= 500 or times[1] - times[0] >= SLOW:
            error = getattr(request, "_trackside_exception", None)
            site.sample(key, times[1] - times[0], request.path, error)
    except Exception:
        notes.once("count", "a request could not be counted", error=True)


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
