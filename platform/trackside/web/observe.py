"""What each request leaves behind: an id in the answer, one line in the log, one count in the metrics."""

import structlog
from flask import Flask, Response, g, request

from trackside.logs import REQUEST_ID, RequestIds
from trackside.metrics import Metrics
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
UNMATCHED = "(unmatched)"
QUIET = frozenset(
    {"static", "assets.static", "probes.healthz", "probes.readyz", "probes.readyz_part", "probes.metrics"}
)
"""Endpoints that are asked all the time: counted, but logged only when they fail."""


def install(app: Flask, runtime: Runtime) -> None:
    """Observe every request of `app`; call it first, so that refused requests are seen too."""
    ids = RequestIds()
    metrics = Metrics(runtime)
    app.extensions["trackside.metrics"] = metrics

    @app.before_request
    def begin() -> None:
        g.began = runtime.clock.monotonic()
        ids.take(request.environ)

    @app.after_request
    def end(response: Response) -> Response:
        seconds = runtime.clock.monotonic() - g.began if "began" in g else 0.0
        route = request.url_rule.rule if request.url_rule else UNMATCHED
        response.headers["X-Request-Id"] = REQUEST_ID.get()
        metrics.page(request.method, route, response.status_code, seconds)
        if request.endpoint not in QUIET or response.status_code >= 500:
            log.info(
                "request",
                method=request.method if request.method.isalpha() else "other",
                route=route,
                status=response.status_code,
                duration_ms=round(seconds * 1000, 1),
            )
        return response
