"""Probes for whoever runs Trackside: is it alive, is it ready, how is it doing."""

import hmac
import time
from functools import cache
from ipaddress import ip_address
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
from flask import Blueprint, Response, current_app, request
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from trackside import migrate
from trackside.db import psycopg_url
from trackside.errors import NotAllowed, NotAuthenticated
from trackside.metrics import Metrics, contributed
from trackside.module import resolve
from trackside.runtime import Runtime
from trackside.settings import Settings
from trackside.web.current import current_runtime
from trackside.web.policy import public

blueprint = Blueprint("probes", __name__)
PATIENCE = 2
"""Seconds that a server gets to answer a probe."""
KEPT = 1.0
"""Seconds that an answer is good for, so that asking often costs little."""
NEEDED = frozenset({"database", "migrations"})
"""Parts without which nothing can be served; without the others Trackside is degraded, and says so."""
SERVING = frozenset({"ok", "stale"})
"""States of a part that answers."""
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


@blueprint.get("/healthz")
@public("load balancers ask without a key; it tells nothing but that the process answers")
def healthz() -> Response:
    """Answer at once, without any I/O."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
@public("load balancers ask without a key; it names parts, and no detail of them")
def readyz() -> Response:
    """Say which parts are there: 200 when requests can be served, 503 when not.

    Flags answer from memory and snapshot also then: a balancer in front of them asks /readyz/flags.
    """
    parts = _readiness().parts()
    ready = all(parts.get(name) == "ok" for name in NEEDED)
    return _answer(ready, parts)


@blueprint.get("/readyz/<part>")
@public("load balancers ask without a key; it tells how one part is, and no detail of it")
def readyz_part(part: str) -> Response:
    """Say whether one part serves, asking for nothing else: 200 also where it is stale, 503 where it is missing."""
    runtime = current_runtime()
    state = module_parts(runtime).get(part)
    if state is None:  # said here: a page of errors would ask for more than a probe may
        detail = "There is no such part that can be asked alone: /readyz names all there are."
        return Response(msgspec.json.encode({"ready": False, "detail": detail}), 404, content_type="application/json")
    return _answer(state in SERVING, {part: state})


@blueprint.get("/metrics")
@public("Prometheus sends a token of its own, or asks from this machine; see check_metrics_reader")
def metrics() -> Response:
    """Return Trackside's own figures in Prometheus' text format."""
    check_metrics_reader(current_runtime().settings, request.environ)
    found: Metrics = current_app.extensions["trackside.metrics"]
    return Response(found.render(), content_type="text/plain; version=1.0.0; charset=utf-8")


def _answer(ready: bool, parts: dict[str, str]) -> Response:
    body = msgspec.json.encode({"ready": ready, "parts": parts})
    return Response(body, 200 if ready else 503, {} if ready else {"Retry-After": "2"}, content_type="application/json")


def check_metrics_reader(settings: Settings, environ: dict[str, Any]) -> None:
    """Raise unless the request carries the metrics token or, where none is set, comes from this very machine.

    Behind a proxy on the same machine everybody seems to come from it. So without a token nothing is answered where a
    proxy is configured or betrays itself: trusted proxies, a base URL of another name, a forwarding header.
    """
    if settings.metrics_token:
        given = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), settings.metrics_token.encode()):
            raise NotAuthenticated("Send the token of TRACKSIDE_METRICS_TOKEN as `Authorization: Bearer TOKEN`.")
        return
    direct = settings.trusted_proxies == 0 and not any(name in environ for name in _FORWARDED)
    if not (direct and is_loopback(urlsplit(settings.base_url).hostname) and is_loopback(environ.get("REMOTE_ADDR"))):
        raise NotAllowed("Metrics are for this machine only: set TRACKSIDE_METRICS_TOKEN to read them from outside.")


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine by its address or the name localhost."""
    try:
        return host == "localhost" or (bool(host) and ip_address(host or "").is_loopback)
    except ValueError:
        return False


class Readiness:
    """Asks every part, at most once in `KEPT` seconds however many ask."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = Lock()
        self._asked = float("-inf")
        self._parts: dict[str, str] = {}

    def parts(self) -> dict[str, str]:
        """Return `ok`, `missing`, `behind` or `stale` for each part by name."""
        with self._lock:
            if time.monotonic() - self._asked > KEPT:
                self._parts = self._ask()
                self._asked = time.monotonic()
            return self._parts

    def _ask(self) -> dict[str, str]:
        found = database_parts(self._runtime.settings.database_url)
        found["redis"] = _redis(self._runtime)
        found |= module_parts(self._runtime)
        if found["migrations"] == "ok":
            try:
                found |= {each.name: "behind" if each.behind else "ok" for each in contributed(self._runtime)}
            except SQLAlchemyError:
                found["database"] = "missing"
        return found


def module_parts(runtime: Runtime) -> dict[str, str]:
    """Return how the modules' own parts are, without asking PostgreSQL or Redis."""
    found: dict[str, str] = {}
    for ref in runtime.registry.each(lambda m: filter(None, (m.readiness,))):
        found |= resolve(ref)(runtime)
    return found


def database_parts(url: str) -> dict[str, str]:
    """Return whether the database answers and has this version's migrations, on a connection of its own."""
    options = f"-c statement_timeout={PATIENCE * 1000}"
    try:
        with psycopg.connect(psycopg_url(url), connect_timeout=PATIENCE, options=options) as connection:
            try:
                rows = connection.execute("select version_num from alembic_version").fetchall()
            except psycopg.errors.UndefinedTable:
                rows = []
    except psycopg.Error:
        return {"database": "missing", "migrations": "missing"}
    current = ",".join(sorted(row[0] for row in rows))
    return {"database": "ok", "migrations": "ok" if current == _wanted() else "missing"}


@cache
def _wanted() -> str:
    return migrate.head()


def _redis(runtime: Runtime) -> str:
    try:
        runtime.redis.live.ping()
    except (RedisError, OSError):
        return "missing"
    return "ok"


def _readiness() -> Readiness:
    made: Readiness = current_app.extensions.setdefault("trackside.readiness", Readiness(current_runtime()))
    return made
