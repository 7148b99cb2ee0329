"""The Flask blueprint of the management API, built from what the modules contribute."""

import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import msgspec
from flask import Blueprint, Response, render_template, request

from trackside.api import openapi
from trackside.api.call import Call
from trackside.api.reading import read_json, read_path, read_query
from trackside.api.routes import Api, Operation
from trackside.api.types import Streamed
from trackside.body import UnsupportedEncoding, read_body
from trackside.db import db
from trackside.errors import StartError
from trackside.module import resolve
from trackside.runtime import Runtime
from trackside.web.current import current_runtime
from trackside.web.downloads import begun
from trackside.web.policy import Policy, public

BODY_LIMIT = 1 << 20
ADMIN = frozenset({"admin"})
BUILTIN = "trackside.api.builtin:api"
KEYRING = "trackside.auth.keyring:build"


def operations(runtime: Runtime) -> list[Operation]:
    """Return every operation of the kernel and the modules; raises StartError where one uses an undeclared scope."""
    apis: list[Api] = [resolve(BUILTIN), *map(resolve, runtime.registry.each(lambda m: m.api))]
    found = [operation for api in apis for operation in api.operations]
    declared = set(runtime.registry.each(lambda m: m.scopes))
    for operation in found:
        if operation.scope and operation.scope not in declared:
            raise StartError(f"API {operation.id} takes the scope {operation.scope!r}, which no module declares")
    return found


def build(runtime: Runtime) -> Blueprint:
    """Return the blueprint of `/api/v1`."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    found = operations(runtime)
    for operation in found:
        blueprint.add_url_rule(
            _rule(operation),
            endpoint=operation.id.replace(".", "_"),
            view_func=_view(operation),
            methods=[operation.method],
            provide_automatic_options=False,
        )
    _describe(blueprint, cache(partial(openapi.document, runtime, found)))
    return blueprint


def _rule(operation: Operation) -> str:
    """Return Flask's form of the path; a parameter whose `Meta` says `slashes` may hold some."""

    def converter(found: re.Match[str]) -> str:
        metas = getattr(operation.parameters[found[1]], "__metadata__", ())
        slashes = any((getattr(meta, "extra", None) or {}).get("slashes") for meta in metas)
        return f"<path:{found[1]}>" if slashes else f"<{found[1]}>"

    return re.sub(r"\{(\w+)\}", converter, operation.path)


def _view(operation: Operation) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        runtime = current_runtime()
        key = resolve(KEYRING)(runtime).authenticate(request.environ)
        key.check(ADMIN, operation.scope or None)
        call = Call(runtime, db.session(), key, operation.id, dict(request.headers))
        arguments = read_path(path, operation.parameters)
        query = read_query(request.args.to_dict(flat=False), operation.query)
        if operation.query is not None:
            arguments["query"] = query
        if operation.body is not None:
            arguments["body"] = _body(operation.body)
        return _answer(operation, call, operation.handler(call, **arguments))

    view.policy = Policy(scope=operation.scope)  # type: ignore[attr-defined]
    view.__doc__ = operation.summary
    return view


def _body(kind: type[msgspec.Struct]) -> msgspec.Struct:
    if request.mimetype != "application/json":
        raise UnsupportedEncoding("Send the body as application/json.")
    return read_json(read_body(request.environ, BODY_LIMIT), kind)


def _answer(operation: Operation, call: Call, value: Any) -> Response:
    call.session.commit()
    if isinstance(value, Streamed):
        kind = f"{value.media_type}; charset=utf-8"
        return Response(begun(value.pieces), operation.status, call.headers, content_type=kind)
    body = b"" if value is None else msgspec.json.encode(value)
    response = Response(body, operation.status, call.headers)
    if value is not None:
        response.content_type = "application/json"
    else:
        del response.headers["Content-Type"]
    return response


def _describe(blueprint: Blueprint, document: Callable[[], dict[str, Any]]) -> None:
    """Add the description as JSON and as a page; it is made when first asked for, most processes never are."""

    @blueprint.get("/openapi.json")
    @public("the description of the API holds no data of anyone")
    def openapi_json() -> Response:
        """Return the OpenAPI description."""
        return Response(msgspec.json.encode(document()), content_type="application/json")

    @blueprint.get("/docs")
    @public("the description of the API holds no data of anyone")
    def docs() -> str:
        """Show the description of the API as a page."""
        return render_template("api/docs.html", api=openapi.readable(document()))
