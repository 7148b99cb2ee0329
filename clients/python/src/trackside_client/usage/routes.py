"""The template of the route that a request matched, as each framework tells it; None where it matched none.

Never the path itself: it would make an endpoint of each order's number.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trackside_client.usage.site import MARK, ROUTE

_MOST_KNOWN = 1000


def flask_route(environ: Mapping[str, Any]) -> str | None:
    """Return the rule of a Flask request, after the prefix that a dispatcher inside has mounted it at."""
    try:
        template: str | None = environ["werkzeug.request"].url_rule.rule
    except (KeyError, AttributeError):  # not Flask, none matched, or Flask has forgotten the request
        template = environ.get(ROUTE)
    before, now = environ.get(MARK, ""), environ.get("SCRIPT_NAME", "")
    return template if now == before or template is None else now[len(before) :] + template


class AsgiRoutes:
    """Finds the template of Starlette's and FastAPI's routes, those inside mounts and included routers too."""

    def __init__(self) -> None:
        self._mounts: dict[str, str] = {}
        self._endpoints: dict[int, tuple[object, tuple[Any, ...]]] = {}
        self._plain: dict[int, tuple[object, object, str]] = {}

    def of(self, scope: Mapping[str, Any], status: int) -> str | None:
        """Return the template for a scope that has been through the application."""
        route, endpoint, own = scope.get("route"), scope.get("endpoint"), scope.get("fastapi")
        if own and own.get("effective_route_context") is not None:  # FastAPI's, with its router's prefix
            route = own["effective_route_context"]
        is_plain = status != 405 and "app_root_path" not in scope
        if is_plain and (known := self._plain.get(id(route))) and known[0] is route and known[1] is endpoint:
            return known[2]
        if endpoint is None:
            return None
        found = self._find(scope, endpoint, route, status)
        if found is not None and is_plain and len(self._plain) < _MOST_KNOWN:
            self._plain[id(route)] = (route, endpoint, found)
        return found

    def _find(self, scope: Mapping[str, Any], endpoint: object, route: Any, status: int) -> str | None:
        if route is None or getattr(route, "endpoint", endpoint) is not endpoint:
            route = self._by_endpoint(scope, endpoint)
        within = self._mounted(scope)
        if route is None or hasattr(route, "routes"):  # a mount: of files and the like, or of routes that did not match
            is_app = within and not hasattr(endpoint, "routes")
            return f"{within}/{{path}}" if is_app else None
        methods = getattr(route, "methods", None)
        if status == 405 and methods and scope["method"] not in methods:
            return None
        return within + str(route.path_format)

    def _mounted(self, scope: Mapping[str, Any]) -> str:
        """Return the template of the mounts a request went through, nothing where there were none."""
        before = scope.get("app_root_path")
        if before is None:
            return ""
        path = str(scope.get("root_path", ""))[len(before) :]
        known = self._mounts.get(path)
        if known is None:
            if len(self._mounts) >= _MOST_KNOWN:
                self._mounts.clear()
            known = self._mounts[path] = _mount_template(getattr(scope.get("router"), "routes", ()), path)
        return known

    def _by_endpoint(self, scope: Mapping[str, Any], endpoint: object) -> Any:
        """Look for the route of an endpoint where the framework's version does not tell it."""
        kept, found = self._endpoints.get(id(endpoint), (None, ()))
        if kept is not endpoint:
            found = tuple(_routes_to(endpoint, getattr(scope.get("router"), "routes", ())))
            if len(self._endpoints) < _MOST_KNOWN:
                self._endpoints[id(endpoint)] = (endpoint, found)
        if len(found) == 1:
            return found[0]
        path = str(scope.get("path", "")).removeprefix(str(scope.get("root_path", "")))
        return next((route for route in found if route.path_regex.match(path)), None)


def _routes_to(endpoint: object, routes: Any) -> Iterator[Any]:
    """Yield the routes to an endpoint, those within mounts too."""
    for route in routes:
        if getattr(route, "endpoint", None) is endpoint and hasattr(route, "path_regex"):
            yield route
        yield from _routes_to(endpoint, getattr(route, "routes", ()))


def _mount_template(routes: Any, path: str) -> str:
    """Return the templates of the mounts along `path`; the part that no mount explains is left out."""
    for route in routes:
        if not hasattr(route, "routes") or not hasattr(route, "path_regex"):
            continue
        match = route.path_regex.match(path + "/")
        if match is None:
            continue
        rest = "/" + match.group("path")
        template = str(route.path_format).removesuffix("/{path}")
        return template + (_mount_template(route.routes, rest.rstrip("/")) if rest != "/" else "")
    return ""
