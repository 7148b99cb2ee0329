"""`trackside web`: the lane in front of the Flask app, as one WSGI callable.

A request whose path a module named in its `lane` is answered here; everything else goes to Flask, within its share
of the threads, so that a slow page never holds up a hot route (see `trackside.places`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count as from_zero
from typing import Protocol

import structlog

from trackside.api.blueprint import KEYRING
from trackside.app import create_app
from trackside.auth.principal import KeyPrincipal
from trackside.errors import NotAuthenticated, TracksideError, Unavailable
from trackside.lane import Complete, LaneRequest, LaneResponse, complete
from trackside.logs import RequestIds
from trackside.module import LaneRoute, resolve
from trackside.pages import Environ, Pages, StartResponse, Wsgi, member_of, uploads_of
from trackside.places import Places
from trackside.runtime import Runtime, build_runtime
from trackside.settings import load_settings
from trackside.web.errors import as_trackside

log = structlog.get_logger(__name__)
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


def build(runtime: Runtime | None = None) -> Lane:
    """Return the WSGI callable of `runtime`, or of the settings in this process's environment."""
    runtime = runtime or build_runtime(load_settings())
    app = create_app(runtime.settings, runtime=runtime)
    metrics = app.extensions["trackside.metrics"]
    places = Places(runtime.settings.web_threads)
    keys = resolve(KEYRING)(runtime)
    keys.begin()
    return Lane(runtime, keys, Pages(app, places, uploads_of(runtime), member_of(app)), places, count=metrics.lane)
