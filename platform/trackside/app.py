"""The composition root: settings and modules in, a Flask app out.

Order matters only where it is said: proxies before anything reads an address, the session before policies, policies
before views. Modules add their blueprints and API routes; the kernel knows none of them by name.
"""

from typing import Any

from flask import Flask, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from trackside.ask import only_reads
from trackside.db import db
from trackside.module import resolve
from trackside.registry import Registry
from trackside.runtime import Runtime, build_runtime
from trackside.settings import Settings
from trackside.web import checklist, environments, errors, nav, observe, policy, security
from trackside.web.current import current_runtime

MANAGEMENT_LIMIT = 1 << 20
"""Bytes of a page's or a management request's body."""


def create_app(settings: Settings, registry: Registry | None = None, *, runtime: Runtime | None = None) -> Flask:
    """Return the Flask app of `settings` and `registry`, or of a `runtime` that exists already.

    Raises StartError when a route has no policy or the modules do not fit together.
    """
    runtime = runtime or build_runtime(settings, registry)
    app = Flask("trackside", static_folder="static", template_folder="templates")
    app.url_map.strict_slashes = False  # people type addresses: /users and /users/ are the same page
    app.extensions["trackside"] = runtime
    app.config.update(MAX_CONTENT_LENGTH=MANAGEMENT_LIMIT, SQLALCHEMY_DATABASE_URI=runtime.settings.database_url)
    if runtime.settings.trusted_proxies:
        hops = runtime.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    db.init_app(app)
    observe.install(app, runtime)
    app.before_request(_prepare_session)
    security.secure(app, runtime.settings)
    errors.install(app)
    csrf = CSRFProtect(app)
    resolve("trackside.auth.web:install")(app)
    app.before_request(policy.enforce)
    _templates(app, runtime)
    _routes(app, runtime, csrf)
    policy.check_policies(app)
    return app


def _prepare_session() -> None:
    """Make the request's session announce to our bus, and ask by our ports; tell what it is for."""
    session = db.session()
    current_runtime().database.attach(session)
    only_reads(session, request.method in ("GET", "HEAD"))


def _templates(app: Flask, runtime: Runtime) -> None:
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    resolve("trackside.web.look:install")(app)
    environments.install(app)

    @app.context_processor
    def common() -> dict[str, Any]:
        return {
            "nav_entries": nav.entries,
            "nav_shortcuts": nav.shortcuts,
            "allowed": policy.allowed,
            "current_environment": environments.current_environment,
            "all_environments": environments.all_environments,
            "checklist": checklist.checklist,
            "settings": runtime.settings,
        }


def _routes(app: Flask, runtime: Runtime, csrf: CSRFProtect) -> None:
    for ref in ("trackside.web.home:blueprint", "trackside.web.palette:blueprint", "trackside.web.probes:blueprint"):
        app.register_blueprint(resolve(ref))
    if runtime.settings.development:
        app.register_blueprint(resolve("trackside.web.patterns:blueprint"))
    for ref in runtime.registry.each(lambda m: m.blueprints):
        app.register_blueprint(resolve(ref))
    api = resolve("trackside.api.blueprint:build")(runtime)
    csrf.exempt(api)  # its callers send a key, never a cookie
    app.register_blueprint(api)
