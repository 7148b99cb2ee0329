"""What the middleware of every kind shares: who called, what is kept of a request, and that nothing is raised."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from trackside_client._transport import notes
from trackside_client.usage import config, reporter
from trackside_client.usage.counters import Noted, code_of

MARK = "trackside.client"
"""Set on a request that is being counted: an application wrapped twice is counted once (WSGI: its SCRIPT_NAME)."""
EXCEPTION = "trackside.exception"
"""Where the exception that a framework has turned into a response is left."""
NOBODY = "", ""
"""A user and an account where nothing tells them."""
ROUTE = "trackside.route"
"""Where a route's template is left for when the framework has forgotten it."""
CLIENT_CLOSED = 499
"""The status of a request whose client went before an answer began, as proxies log it."""
_LONGEST_ID = 201  # ids that are too long stay too long, so that the server can say so

Identify = Callable[[Any], object]
"""Returns the id of a user or account, or None, for a request in the framework's own form."""
App = TypeVar("App")
Name = TypeVar("Name", str, bytes)


class Site:
    """A reporter, and how the user and account of a request are found."""

    def __init__(self, found: config.Config, user: Identify | None, account: Identify | None) -> None:
        self.config = found
        self.reporter = reporter.of(found)
        self.user, self.account = user, account
        self.asks = bool(user or account)
        self.counters = self.reporter.counters

    def sample(self, key: Noted, seconds: float, path: str, error: BaseException | None) -> None:
        """Keep a request as an example, if there is room."""
        method, route, status, user, account = key
        self.reporter.samples.note((method, route, code_of(status), user, account), path, seconds, error)


class Usage(Generic[App, Name]):
    """What the middleware of WSGI and of ASGI share: how they are told what to report.

    Args:
        app: The application.
        user: Returns the user's id for a request, or None. It is called as the response starts.
        account: Likewise, the account's id.
        route: Returns the route's template where the framework is not known; None counts as `(unmatched)`.
        given: Fields of `trackside_client.usage.config.Config`.

    """

    def __init__(
        self,
        app: App,
        *,
        user: Identify | None = None,
        account: Identify | None = None,
        route: Callable[[Any], str | None] | None = None,
        **given: object,
    ) -> None:
        self.app = app
        self.site = site(user, account, given)
        self.route = self._finder(route)
        self.asks = False
        if self.site is not None:
            found = self.site.config
            self.user_header: Name = self._name(found.user_header)
            self.account_header: Name = self._name(found.account_header)
            self.asks = self.site.asks or bool(self.user_header or self.account_header)
            self.counters = self.site.counters
            self.noted = self.counters.noted

    def _finder(self, route: Callable[[Any], str | None] | None) -> Callable[..., str | None]:
        """Return what finds a request's route."""
        raise NotImplementedError

    def _name(self, header: str) -> Name:
        """Return a header's name in the form that requests have it, empty where it is."""
        raise NotImplementedError


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
