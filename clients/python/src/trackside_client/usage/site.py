"""What the middleware of every kind shares: who called, what is kept of a request, and that nothing is raised."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from trackside_client.usage import config, notes, reporter
from trackside_client.usage.counters import Key
from trackside_client.usage.samples import SLOW

MARK = "trackside.client"
"""Set on a request that is being counted: an application wrapped twice is counted once (WSGI: its SCRIPT_NAME)."""
EXCEPTION = "trackside.exception"
"""Where the exception that a framework has turned into a response is left."""
ROUTE = "trackside.route"
"""Where a route's template is left for when the framework has forgotten it."""
CLIENT_CLOSED = 499
"""The status of a request whose client went before an answer began, as proxies log it."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_LONGEST_ID, _LONGEST_ROUTE = 201, 300  # ids that are too long stay too long, so that the server can say so

Identify = Callable[[Any], object]
"""Returns the id of a user or account, or None, for a request in the framework's own form."""


class Site:
    """A reporter, and how the user and account of a request are found."""

    def __init__(self, found: config.Config, user: Identify | None, account: Identify | None) -> None:
        self.config = found
        self.reporter = reporter.of(found)
        self.user, self.account = user, account
        self.asks = bool(user or account)

    def note(self, key: Key, began: float, ended: float) -> bool:
        """Count a request; return whether it is worth a sample."""
        here = self.reporter
        if not here.is_running:
            here.start()
        here.counters.add(key, began, ended)
        return key[1] is None or key[2] >= 500 or ended - began >= SLOW

    def sample(self, key: Key, seconds: float, path: str, error: BaseException | None) -> None:
        """Keep a request as an example, if there is room."""
        self.reporter.samples.note(key, path, seconds, error)


def key(method: str, route: str | None, status: int, who: tuple[str, str]) -> Key:
    """Return what a request is counted under."""
    if method not in METHODS:
        method = "_OTHER"
    if route is not None and len(route) > _LONGEST_ROUTE:
        route = route[:_LONGEST_ROUTE]
    return method, route, status, who[0], who[1]


def site(user: Identify | None, account: Identify | None, given: Mapping[str, object]) -> Site | None:
    """Return the site for a middleware's arguments; None, with the reason in the log, where nothing is reported."""
    try:
        found = config.read(given)
        return None if found is None else Site(found, user, account)
    except Exception:
        notes.once("start", "usage is not reported", error=True)
        return None


def identity(ask: Identify | None, request: object) -> str:
    """Return what `ask` says of a request as text; nothing, with a line in the log, where it fails."""
    if ask is None:
        return ""
    try:
        found = ask(request)
        if found is None:
            return ""
        if isinstance(found, (str, int)) and not isinstance(found, bool):
            return str(found).strip()[:_LONGEST_ID]
        if isinstance(found, Coroutine):  # which nobody would await
            found.close()
        notes.once("identity", "`user` and `account` must return text, a number or None, not %s", type(found).__name__)
    except Exception:
        notes.once("identity", "`user` or `account` failed: such requests count without a user", error=True)
    return ""


def header_text(value: str) -> str:
    """Return a header that WSGI gives as Latin-1 as the UTF-8 it most likely is."""
    if not value.isascii():
        value = value.encode("latin-1", "replace").decode("utf-8", "replace")
    return value.strip()[:_LONGEST_ID]
