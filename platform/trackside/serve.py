"""`trackside web`: the lane in front of the Flask app, as one WSGI callable.

A request whose path a module named in its `lane` is answered here; everything else goes to Flask, within its share
of the threads, so that a slow page never holds up a hot route (see `trackside.places`).
"""

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count as from_zero
from threading import Semaphore
from types import MappingProxyType
from typing import Any, Protocol

import structlog
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData
from werkzeug.http import parse_cookie
from werkzeug.wsgi import ClosingIterator

from trackside.api.blueprint import KEYRING
from trackside.app import MANAGEMENT_LIMIT, create_app
from trackside.auth.principal import KeyPrincipal
from trackside.body import read_body, receive_on_disk
from trackside.customers.sheets import MAX_BYTES
from trackside.errors import NotAuthenticated, TooLarge, TracksideError, Unavailable
from trackside.lane import Complete, LaneRequest, LaneResponse, complete, problem, status_line
from trackside.logs import RequestIds
from trackside.module import LaneRoute, resolve
from trackside.places import Places
from trackside.runtime import Runtime, build_runtime
from trackside.settings import load_settings
from trackside.web.errors import HOOKS, MACHINE_PATHS, as_trackside

log = structlog.get_logger(__name__)
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]
FILES = ("/static/", "/-/assets/")
UPLOAD_LIMIT = MAX_BYTES + (1 << 16)
"""Bytes of a page's body that are read for it; a longer one is refused unread."""
HOOK_LIMIT = 25 << 20
"""Bytes of what is posted to `/hooks/`: a mail with its files."""
_READABLE = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-Id, X-Trackside-Stale"),
)
_PREFLIGHT = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, X-API-Key, X-Request-Id"),
    ("Access-Control-Max-Age", "86400"),
)


class Keys(Protocol):
    """Who knows the API keys: `trackside.auth.keyring`."""

    def authenticate(self, environ: Environ) -> KeyPrincipal:
        """Return the key that a request carries; raises NotAuthenticated or TooMany."""
        ...


class MethodNotAllowed(TracksideError):
    """The path exists, for other methods."""

    status = 405
    code = "method-not-allowed"
    title = "This address does not take that method"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    route: LaneRoute
    handle: Callable[[LaneRequest], LaneResponse]
    errors: Callable[[LaneRequest, TracksideError], LaneResponse]
    counts: Mapping[str, Iterator[int]]
    """Of its answers, by status line."""


def _uncounted(_route: str) -> Mapping[str, Iterator[int]]:
    return defaultdict(from_zero)


class Lane:
    """The WSGI callable: hot routes by path, `pages` for all else."""

    def __init__(
        self,
        runtime: Runtime,
        keys: Keys,
        pages: Wsgi,
        places: Places,
        *,
        count: Callable[[str], Mapping[str, Iterator[int]]] = _uncounted,
    ) -> None:
        """Prepare every lane route of the runtime's modules; `count(route)` has a counter for each status line."""
        self._keys = keys
        self._pages = pages
        self._ids = RequestIds()
        self._exact: dict[str, dict[str, _Endpoint]] = {}
        self._below: dict[str, dict[str, _Endpoint]] = {}
        for route in runtime.registry.each(lambda m: m.lane):
            handle = resolve(route.handler)(runtime)
            handle = _within(places, handle) if route.slow else handle
            endpoint = _Endpoint(route, handle, resolve(route.errors), count(route.path))
            table = self._below if route.path.endswith("/") else self._exact
            table.setdefault(route.path, {})[route.method] = endpoint
        self._prefixes = sorted(self._below, key=len, reverse=True)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"]
        methods = self._exact.get(path)
        if methods is None:
            for prefix in self._prefixes:
                if path.startswith(prefix):
                    methods = self._below[prefix]
                    break
            else:
                return self._pages(environ, start_response)
        request_id = self._ids.take(environ)
        method = environ["REQUEST_METHOD"]
        endpoint = methods.get("GET" if method == "HEAD" else method)
        if endpoint is not None:
            response = self._run(endpoint, environ, path)
        elif method == "OPTIONS" and (opened := [each for each in methods.values() if each.route.cors]):
            response = _preflight(opened)
        else:
            response = self._refuse_method(environ, path, methods)
        next((endpoint or next(iter(methods.values()))).counts[response.status])
        given = response.headers
        headers = [*(given if type(given) is Complete else complete(given)), ("X-Request-Id", request_id)]
        if endpoint is not None and endpoint.route.cors and "HTTP_ORIGIN" in environ:
            headers += _READABLE
        start_response(response.status, headers)
        return [response.body]

    def _refuse_method(self, environ: Environ, path: str, methods: dict[str, _Endpoint]) -> LaneResponse:
        allowed = ", ".join(sorted(methods))
        error = MethodNotAllowed(f"This address takes {allowed}.")
        refusal = next(iter(methods.values())).errors(LaneRequest(environ, path, None), error)
        return LaneResponse(refusal.status, refusal.body, [*refusal.headers, ("Allow", allowed)])

    def _run(self, endpoint: _Endpoint, environ: Environ, path: str) -> LaneResponse:
        """Return the answer of `endpoint`, or what went wrong in its protocol's form; never raises."""
        key = None
        try:
            key = self._keys.authenticate(environ)
            route = endpoint.route
            if key.kind not in route.kinds or route.scope is not None:
                key.check(route.kinds, route.scope)
            return endpoint.handle(LaneRequest(environ, path, key))
        except Exception as error:
            # In a frame that the error does not hold: a cycle of the two would keep the body until the next collection.
            return _refusal(endpoint, LaneRequest(environ, path, key), error)


def _preflight(endpoints: list[_Endpoint]) -> LaneResponse:
    """Tell a browser that pages of every site may ask: what counts is the key, which no browser sends by itself."""
    methods = ", ".join(sorted({each.route.method for each in endpoints} | {"OPTIONS"}))
    return LaneResponse("204 No Content", b"", [*_PREFLIGHT, ("Access-Control-Allow-Methods", methods)])


def _within(places: Places, handle: Callable[[LaneRequest], LaneResponse]) -> Callable[[LaneRequest], LaneResponse]:
    def held(request: LaneRequest) -> LaneResponse:
        with places.hold("slow"):
            return handle(request)

    return held


def _refusal(endpoint: _Endpoint, request: LaneRequest, error: Exception) -> LaneResponse:
    """Return what went wrong in the protocol's form, and log what its sender cannot mend."""
    ours = as_trackside(error)
    if isinstance(error, Unavailable):
        log.warning("lane.shed", route=endpoint.route.path, status=ours.status)
    elif ours.status >= 500:
        log.error("lane.failed", route=endpoint.route.path, status=ours.status, exc_info=error)
    refusal = endpoint.errors(request, ours)
    if isinstance(ours, NotAuthenticated):
        return LaneResponse(refusal.status, refusal.body, [*refusal.headers, ("WWW-Authenticate", "Bearer")])
    return refusal


MOST_ON_DISK = 2
"""Large files that are received at once."""


class Pages:
    """Flask behind the lane: within its share of the threads, and chunked bodies counted."""

    def __init__(
        self,
        app: Wsgi,
        places: Places,
        uploads: Mapping[str, int] = MappingProxyType({}),
        is_member: Callable[[Environ], bool] = lambda _: False,
    ) -> None:
        """Take large files at the paths of `uploads` of whom `is_member` knows by the signature of their cookie."""
        self._app = app
        self._places = places
        self._uploads = uploads
        self._is_member = is_member
        self._on_disk = Semaphore(MOST_ON_DISK)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or 503 when every place stays taken."""
        if environ["PATH_INFO"].startswith(FILES):
            # a page asks for a dozen files at once; each is read in no time, and a page without its style is no page
            return self._app(environ, start_response)
        try:
            if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
                with self._places.receiving():
                    self._take_body(environ)
            self._places.take("pages")
        except TracksideError as error:
            return _refused(error, environ, start_response)
        try:
            return ClosingIterator(self._app(environ, start_response), [self._free])
        except BaseException:
            self._free()
            raise

    def _take_body(self, environ: Environ) -> None:
        """Read the body; a member's large file to the disk, few at a time: who is nobody need not fill it first."""
        if environ["PATH_INFO"] not in self._uploads or not self._is_member(environ):
            _receive(environ, None)
        elif not self._on_disk.acquire(blocking=False):
            raise Unavailable("Other files are being uploaded: try again in a minute.", 60)
        else:
            try:
                _receive(environ, self._uploads[environ["PATH_INFO"]])
            finally:
                self._on_disk.release()

    def _free(self) -> None:
        self._places.free("pages")


def _receive(environ: Environ, on_disk: int | None) -> None:
    """Read the body before a page's place is taken, so that slow senders keep nobody else from a page.

    A chunked one is counted too: Werkzeug silently cuts it at MAX_CONTENT_LENGTH and goes on with the rest. `on_disk`:
    the most bytes of one that is a large file.
    """
    chunked = not environ.get("CONTENT_LENGTH")
    most = on_disk or (HOOK_LIMIT if environ["PATH_INFO"].startswith(HOOKS) else UPLOAD_LIMIT)
    try:
        if on_disk and not chunked:
            environ["wsgi.input"] = receive_on_disk(environ, most)
            return
        limit = MANAGEMENT_LIMIT if chunked else most
        body = read_body({**environ, "HTTP_CONTENT_ENCODING": ""}, limit)
    except TooLarge:
        # a length over the limit makes Flask refuse it in the asker's own form
        environ["CONTENT_LENGTH"] = str(most + 1)
        environ["wsgi.input"] = io.BytesIO()
    else:
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
    # with it Werkzeug would not look at the length
    environ.pop("HTTP_TRANSFER_ENCODING", None)


def _refused(error: TracksideError, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"].startswith(MACHINE_PATHS):
        response = problem(LaneRequest(environ, environ["PATH_INFO"], None), error)
        start_response(response.status, list(complete(response.headers)))
        return [response.body]
    # a page would need a template, and so a place
    wait = getattr(error, "retry_after", None)
    headers = [("Content-Type", "text/plain; charset=utf-8"), *([("Retry-After", str(wait))] if wait else [])]
    start_response(status_line(error), list(complete(headers)))
    return [error.message.encode()]


def uploads_of(runtime: Runtime) -> dict[str, int]:
    """Return the paths that take large files, with the bytes of a request at most: the form around it is small."""
    found = {path: most for module in runtime.registry.modules for path, most in module.uploads.items()}
    return {path: most + (1 << 16) for path, most in found.items()}


def member_of(app: Flask) -> Callable[[Environ], bool]:
    """Return what tells whether a request carries a cookie that `app` has signed for somebody who signed in."""
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    name = app.config["SESSION_COOKIE_NAME"]

    def is_member(environ: Environ) -> bool:
        try:
            return signer is not None and "_user_id" in signer.loads(parse_cookie(environ).get(name, ""))
        except BadData:
            return False

    return is_member


def build(runtime: Runtime | None = None) -> Lane:
    """Return the WSGI callable of `runtime`, or of the settings in this process's environment."""
    runtime = runtime or build_runtime(load_settings())
    app = create_app(runtime.settings, runtime=runtime)
    metrics = app.extensions["trackside.metrics"]
    places = Places(runtime.settings.web_threads)
    keys = resolve(KEYRING)(runtime)
    keys.begin()
    return Lane(runtime, keys, Pages(app, places, uploads_of(runtime), member_of(app)), places, count=metrics.lane)
