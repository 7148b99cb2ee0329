"""Links that stay: Flask's `url_for`, remembered where the same page is linked to again and again.

A page links to thirty places besides its own rows: the sidebar, tabs, filters. Finding a route and quoting its values
costs more than the template around it.
"""

from typing import Any

from flask import Flask, current_app, g, request, url_for

_PLAIN = frozenset({str, int, type(None)})
"""Values that are one where they are equal; True is not among them, which equals 1 and is written otherwise."""


class _Known(dict[Any, str]):
    """The links an app has made, until there are a few thousand: then it begins anew."""

    most = 4096

    def keep(self, key: Any, url: str) -> str:
        """Remember `url`, and return it."""
        if len(self) >= self.most:
            self.clear()
        self[key] = url
        return url


def install(app: Flask) -> None:
    """Let the templates of `app` link by `link` under its usual name."""
    app.extensions["trackside.links"] = _Known()
    app.jinja_env.globals["url_for"] = link


def link(endpoint: str, **values: Any) -> str:
    """Return `url_for(endpoint, **values)`."""
    if endpoint.startswith(".") or not all(name[0] != "_" and type(values[name]) in _PLAIN for name in values):
        return url_for(endpoint, **values)  # whole addresses, which hold the asker's Host, among them
    known: _Known = current_app.extensions["trackside.links"]
    # all that a link is made of besides: where the app is mounted, and the environment that links keep
    key = (endpoint, request.script_root, g.get("kept_environment"), *values.items())
    return known.get(key) or known.keep(key, url_for(endpoint, **values))
