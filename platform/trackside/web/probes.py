"""Probes for whoever runs Trackside: is it alive, is it ready."""

from flask import Blueprint, Response

from trackside.web.policy import public

blueprint = Blueprint("probes", __name__)


@blueprint.get("/healthz")
@public("load balancers ask without a key; it tells nothing but that the process answers")
def healthz() -> Response:
    """Answer at once, without any I/O."""
    return Response("ok\n", mimetype="text/plain")
