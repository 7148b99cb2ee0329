"""What templates have at hand: the filters of `format`, `ui` (the macros), the page's clock and zone, and URLs.

{{ 1234|number }}  {{ row.seen_at|ago }}  {{ ui.button("Save") }}  {{ url_with(sort="-requests") }}

A page of fifty rows calls these by the thousand. So what costs more than the text it writes is done once: the link of
each row is built before the loop (`url_each`), and the member's zone is found once a request.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, g, has_request_context, request, send_from_directory, url_for
from flask_login import current_user
from jinja2 import Environment
from markupsafe import Markup, escape
from sqlalchemy import text

from trackside.db import db
from trackside.web import charts, links
from trackside.web import format as fmt
from trackside.web.current import current_runtime
from trackside.web.environments import current_environment
from trackside.web.policy import public

THEMES = ("system", "light", "dark")
YEAR = 365 * 24 * 3600
UNSHARED = frozenset({"cursor", "_"})
"""Parameters that a changed filter or sort drops: a cursor belongs to one order of rows."""


class Macros:
    """`ui`: the macros of `ui.html`, read when first used, so that an app that draws no page never parses them."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __getattr__(self, name: str) -> Any:
        """Return the macro called `name`; raises AttributeError, so that Jinja names the typo."""
        macro = getattr(self._environment.get_template("ui.html").module, name)
        if not self._environment.auto_reload:
            setattr(self, name, macro)  # from now on it is found without coming here
        return macro


def now() -> datetime:
    """Return the time of the app's clock."""
    return current_runtime().clock.now()


def zone() -> tzinfo:
    """Return the signed-in member's time zone; UTC for visitors and for who chose none."""
    if not has_request_context():
        return fmt.zone_called(None)
    found: tzinfo | None = g.get("zone")
    if found is None:
        found = g.zone = fmt.zone_called(getattr(current_user, "time_zone", None))
    return found


def theme() -> str:
    """Return the theme chosen in the cookie: `light`, `dark` or, where none is, `system`."""
    chosen = request.cookies.get("trackside_theme", "") if has_request_context() else ""
    return chosen if chosen in THEMES else "system"


def url_with(**changes: Any) -> str:
    """Return this page's URL with some query parameters changed; None takes one away, cursors are dropped."""
    # url_for takes some names for itself: ?_scheme=javascript&_external=1 would be a link to elsewhere
    given = {k: v for k, v in request.args.to_dict(flat=False).items() if k not in UNSHARED | {"endpoint"}}
    query: dict[str, Any] = {k: v for k, v in given.items() if k[:1] != "_" and k not in (request.view_args or {})}
    query |= changes
    query = {name: value for name, value in query.items() if value is not None and value != ""}
    return url_for(request.endpoint or "home.index", **(request.view_args or {}), **query)


_LIVES = text("select 1")
_ANY = 7_310_582_946_017
"""A number that no row has: it stands in a link for the number of each row."""


def url_each(endpoint: str, vary: str, /, **values: Any) -> Callable[[int], str]:
    """Return a function from a number to `url_for(endpoint, vary=number, **values)`: the link of each row of a table.

    {% set to_user = url_each("users.show", "row_id") %}    {% for user in users %} ... {{ to_user(user.id) }}
    """

    def url(number: int) -> str:
        given: dict[str, Any] = {vary: number, **values}
        return url_for(endpoint, **given)

    return _each(url)


def url_with_each(vary: str) -> Callable[[int], str]:
    """Return a function from a number to `url_with(vary=number)`, likewise."""
    return _each(lambda number: url_with(**{vary: number}))


def _each(url: Callable[[int], str]) -> Callable[[int], str]:
    """Return what `url` does, built once: finding a route and quoting costs more than the row that the link is in."""
    parts = url(_ANY).split(str(_ANY))
    if len(parts) != 2:
        return url  # somebody searches for that very number
    before, after = parts
    return lambda number: f"{before}{int(number)}{after}"


def framed(status: int) -> bool:
    """Whether an error page can have the sidebar: a member is signed in, and the database answers."""
    if status >= 500 or status == 401:
        return False
    try:
        db.session.rollback()  # what failed in the page must not spoil the frame's own statements
        db.session.execute(_LIVES)
        return bool(current_user.is_authenticated and current_environment())
    except Exception:
        # whatever it is, the error that brought us here is the one to show
        return False


def asset(path: str) -> str:
    """Return the URL of a file under static/; it changes with the files, so that browsers keep them for a year."""
    # not by url_for: every icon of a page asks
    root: str | None = g.get("assets")
    if root is None:
        root = g.assets = f"{request.script_root}/-/assets/{current_app.config['ASSETS_VERSION']}/"
    return root + path


def icon(name: str, label: str = "", size: str = "") -> Markup:
    """Return a symbol of static/icons.svg; with `label` it speaks. `size`: "" (16 px), "s" (12), "l" (24)."""
    return _icon(asset("icons.svg"), name, label, size)


@lru_cache(maxsize=1024, typed=True)  # a label that is markup equals the same text, and is not escaped
def _icon(sprite: str, name: str, label: str, size: str) -> Markup:
    said = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    kind = f"icon icon-{escape(size)}" if size else "icon"
    use = f"{escape(sprite)}#{escape(name)}"
    return Markup(f'<svg class="{kind}" {said}><use href="{use}"></use></svg>')  # noqa: S704 - all of it is escaped


def breaking_path(path: str) -> Markup:
    """Return a path that breaks at its slashes where it must."""
    return Markup(str(escape(path)).replace("/", "/<wbr>"))  # noqa: S704 - escaped


def _serve_assets(app: Flask) -> None:
    """Serve static/ below its version too: scripts and sheets name each other relatively, so all of them follow."""
    files = sorted(path for path in Path(app.static_folder or "").rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    # while developing, the files change under a running process: then browsers ask each time
    app.config["ASSETS_VERSION"] = "dev" if app.extensions["trackside"].settings.development else digest

    @public("sheets, scripts and icons, which the sign-in page needs too")
    def serve(version: str, filename: str) -> Response:
        current = version == app.config["ASSETS_VERSION"] != "dev"
        response = send_from_directory(str(app.static_folder), filename, max_age=YEAR if current else 0)
        if current:
            response.cache_control.immutable = True
        return response

    app.add_url_rule("/-/assets/<version>/<path:filename>", "assets.static", serve)


def ago(at: datetime | None) -> Markup:
    """Return how long ago `at` was, with the exact moment on hover."""
    there = zone()
    return fmt.time_tag(at, fmt.relative(at, now(), there) if at else "", there)


def moment(at: datetime | None) -> Markup:
    """Return `at` as a short clock time or date, with the exact moment on hover."""
    there = zone()
    return fmt.time_tag(at, fmt.short_time(at, now(), there) if at else "", there)


def exact(at: datetime | None) -> Markup:
    """Return `at` to the second, in the member's zone."""
    there = zone()
    return fmt.time_tag(at, fmt.exact_time(at, there) if at else "", there)


def install(app: Flask) -> None:
    """Give all of it to the templates of `app`."""
    _serve_assets(app)
    links.install(app)
    app.jinja_env.filters.update(
        number=fmt.number,
        compact=fmt.compact,
        percent=fmt.percent,
        ms=fmt.ms,
        seconds=fmt.seconds,
        bytes=fmt.bytes_,
        plural=fmt.plural,
        initials=fmt.initials,
        attrs=fmt.attrs,
        ago=ago,
        moment=moment,
        exact=exact,
        sparkline=charts.sparkline,
        sparkline_words=charts.sparkline_words,
    )
    app.jinja_env.globals.update(
        ui=Macros(app.jinja_env),
        delta=fmt.delta,
        url_with=url_with,
        url_each=url_each,
        url_with_each=url_with_each,
        asset=asset,
        svg_icon=icon,
        breaking_path=breaking_path,
        framed=framed,
        theme=theme,
        page_zone=zone,
        page_now=now,
    )
