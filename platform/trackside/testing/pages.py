"""Every page of a running Trackside, found by following its links: for tests and pictures that must miss none."""

import re
import time
import urllib.error
import urllib.request
from collections import deque
from html import unescape
from urllib.parse import urljoin, urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, RequestRedirect

from trackside.app import create_app
from trackside.settings import load_settings
from trackside.testing.running import Up

VISITORS = {"auth.sign_in", "auth.forgot_password", "auth.link", "dead link"}
"""Pages for people who are not signed in."""
BY_FORM = {
    "users.preview",
    "accounts.preview",
    "support.show_import",
    "support.left_out",
    "support.file",
    "support.rate",
    "webhooks.show",
    "webhooks.edit",
}
"""Pages that only a sent form or a mail leads to, and files that only some rows have: their own tests look at them."""
STARTS = ("/", "/profile", "/-/palette?q=a", "/-/patterns")
MOST = 20_000
PATIENCE = 300.0
"""Seconds until what the demo sends is counted, on a machine that does much else: till then no link leads to it."""
_HREF = re.compile(r"""href=(?:"([^"]+)"|'([^']+)')""")


class UnreachablePages(Exception):
    """There are pages that no link leads to: nobody finds them, and no test sees them."""


def find_pages(running: Up, cookie: str) -> dict[str, str]:
    """Return the path of one page for each endpoint that answers HTML, error pages by names of their own.

    `cookie` is the header of a signed-in owner. Waits for what only the demo's traffic makes. Raises UnreachablePages
    where a page cannot be reached by links.
    """
    settings = load_settings({"TRACKSIDE_DATA": str(running.data), "TRACKSIDE_DEVELOPMENT": "1"})
    rules = create_app(settings).url_map
    adapter = rules.bind("127.0.0.1")
    wanted = {rule.endpoint for rule in rules.iter_rules() if rule.methods and "GET" in rule.methods}
    made = {
        "auth.sign_in": "/sign-in",
        "auth.forgot_password": "/forgot-password",
        "auth.link": urlsplit(running.json("member", "create", "page@example.com", "--role", "viewer")["link"]).path,
        "dead link": "/link/none",
        "not found": "/nothing/here",
    }
    made |= {f"error {status}": f"/-/patterns/error/{status}" for status in (400, 403, 404, 409, 422, 429, 500, 503)}
    deadline = time.monotonic() + PATIENCE
    while True:
        found, others = _follow(running.url, cookie, adapter)
        missing = {each for each in wanted - {*found, *made, *others, *BY_FORM} if not _is_for_programs(each)}
        if not missing:
            return found | made
        if time.monotonic() > deadline:
            raise UnreachablePages(f"no link leads to {', '.join(sorted(missing))}")
        time.sleep(1)


def _is_for_programs(endpoint: str) -> bool:
    return endpoint.split(".", 1)[0] in {"static", "api", "probes", "patterns"} or endpoint.endswith(".static")


def _follow(base: str, cookie: str, adapter: MapAdapter) -> tuple[dict[str, str], set[str]]:
    """Return the first page of each endpoint that links lead to, and the endpoints that answer something else."""
    found: dict[str, str] = {}
    others: set[str] = set()
    waiting, seen = deque[str](STARTS), set[str](STARTS)
    while waiting and len(seen) < MOST:
        path = waiting.popleft()
        endpoint = _endpoint(adapter, path)
        if endpoint is None or endpoint in found or endpoint in others:
            continue
        kind, landed, body = _get(base, path, cookie)
        if kind != "text/html":
            others.add(endpoint)
            continue
        arrived = _endpoint(adapter, landed)
        if arrived != endpoint:
            others.add(endpoint)  # it only leads elsewhere
        if arrived is not None:
            found.setdefault(arrived, landed)
        for double, single in _HREF.findall(body):
            target = urlsplit(urljoin(base + landed, unescape(double or single)))
            link = target.path + (f"?{target.query}" if target.query else "")
            if f"{target.scheme}://{target.netloc}" == base and link not in seen:
                seen.add(link)
                waiting.append(link)
    return found, others


def _endpoint(adapter: MapAdapter, path: str) -> str | None:
    try:
        endpoint: str = adapter.match(urlsplit(path).path, "GET")[0]
    except RequestRedirect as error:
        return _endpoint(adapter, urlsplit(error.new_url).path)
    except HTTPException:
        return None
    return endpoint


def _get(base: str, path: str, cookie: str) -> tuple[str, str, str]:
    """Return the type of what answers, the path it was found at, and its text."""
    request = urllib.request.Request(base + path, headers={"Cookie": cookie})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            landed = urlsplit(answer.url)
            where = landed.path + (f"?{landed.query}" if landed.query else "")
            kind = answer.headers.get_content_type()
            return kind, where, answer.read().decode() if kind == "text/html" else ""
    except urllib.error.HTTPError as error:
        return f"status {error.code}", path, ""
