"""The OpenAPI 3.1 description of the API, made from the operations' own types, and what its readable page shows."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec

from trackside.api.routes import Operation
from trackside.api.types import Streamed
from trackside.body import UnsupportedEncoding
from trackside.errors import (
    BadRequest,
    InputError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    StaleVersion,
    TooLarge,
    TooMany,
    TracksideError,
    Unavailable,
)
from trackside.problem import CONTENT_TYPE, Problem
from trackside.runtime import Runtime

ALWAYS: tuple[type[TracksideError], ...] = (NotAuthenticated, NotAllowed, InputError, TooMany, Unavailable)
WITH_BODY: tuple[type[TracksideError], ...] = (BadRequest, TooLarge, UnsupportedEncoding)
_SCHEMAS = "#/components/schemas/{name}"
INTRODUCTION = """Everything that the pages do with customers, flags and the rest, for programs.

Send an API key of kind `admin` as `Authorization: Bearer KEY` or `X-API-Key: KEY`. A key belongs to one environment and
carries scopes. Lists come in pages: pass `next` of one as `cursor` of the following. Errors are RFC 9457 problem+json.
An answer with an `ETag` can be edited safely: send it back as `If-Match`, and 412 says that someone was faster."""


def document(runtime: Runtime, operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI description of `operations`."""
    found = list(operations)
    types = [kind for each in found for kind in _types(each)] + [Problem]
    _, schemas = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
    paths: dict[str, Any] = {}
    for each in found:
        paths.setdefault(f"/api/v1{each.path}", {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trackside", "version": version("trackside"), "description": INTRODUCTION},
        "servers": [{"url": runtime.settings.base_url}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in found)],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _security(runtime), "responses": dict(_problems(found))},
        "security": [{"bearer": []}, {"apiKey": []}],
    }


def _types(operation: Operation) -> Iterator[Any]:
    yield from (kind for kind in (operation.returns, operation.body) if kind is not None and kind is not Streamed)


def _security(runtime: Runtime) -> dict[str, Any]:
    scopes = {name: title for module in runtime.registry.modules for name, title in module.scopes.items()}
    listed = "\n".join(f"- `{name}`: {title}" for name, title in sorted(scopes.items()))
    about = f"An API key of kind `admin`. Its scopes are chosen when it is made:\n\n{listed}"
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": about},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": about},
    }


def errors_of(operation: Operation) -> list[type[TracksideError]]:
    """Return what `operation` may be answered with, one error a status."""
    found = list(ALWAYS)
    found += WITH_BODY if operation.body is not None else ()
    found += [NotFound] if operation.parameters else ()
    found += [StaleVersion] if operation.edits else ()
    found += operation.errors
    return sorted({each.status: each for each in found}.values(), key=lambda each: each.status)


def _problems(operations: Iterable[Operation]) -> Iterator[tuple[str, Any]]:
    for status, error in {e.status: e for each in operations for e in errors_of(each)}.items():
        example = {"type": "about:blank", "title": error.title, "status": status, "detail": "", "code": error.code}
        content: dict[str, Any] = {"schema": {"$ref": _SCHEMAS.format(name="Problem")}, "example": example}
        made: dict[str, Any] = {"description": error.title, "content": {CONTENT_TYPE: content}}
        if not error.permanent:
            seconds = {"type": "integer", "minimum": 0}
            made["headers"] = {"Retry-After": {"description": "Seconds to wait", "schema": seconds}}
        yield f"E{status}", made


def _operation(operation: Operation) -> dict[str, Any]:
    scope = f"Takes the scope `{operation.scope}`." if operation.scope else "Takes any key of kind `admin`."
    responses = {str(operation.status): _success(operation)}
    responses |= {str(e.status): {"$ref": f"#/components/responses/E{e.status}"} for e in errors_of(operation)}
    made: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"{operation.description}\n\n{scope}".strip(),
        "tags": [operation.tag],
        "parameters": [*_path(operation), *_query(operation), *_conditions(operation)],
        "responses": responses,
    }
    if operation.body is not None:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": _content(operation.body, operation.sends)},
        }
    return made


def _success(operation: Operation) -> dict[str, Any]:
    if operation.returns is None:
        return {"description": "Done"}
    if operation.returns is Streamed:
        schemas = {"text/csv": {"type": "string"}, "application/json": {"type": "array", "items": {"type": "object"}}}
        content = {kind: {"schema": schemas[kind], "example": each} for kind, each in operation.example.items()}
        return {"description": "A file, as it is made", "content": content}
    made = {"description": "Done", "content": {"application/json": _content(operation.returns, operation.example)}}
    if operation.edits:
        made["headers"] = {"ETag": {"description": "The version, for If-Match", "schema": {"type": "string"}}}
    return made


def _content(kind: Any, example: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"schema": _schema(kind)}
    if example is not None:
        made["example"] = msgspec.to_builtins(example)
    return made


def _schema(kind: Any) -> dict[str, Any]:
    (made,), _ = msgspec.json.schema_components([kind], ref_template=_SCHEMAS)
    return made


def _path(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, kind in operation.parameters.items():
        yield _parameter(name, "path", _schema(kind), required=True)


def _query(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.query is None:
        return
    for field in msgspec.structs.fields(operation.query):
        schema = _schema(field.type)
        if not field.required and field.default is not msgspec.NODEFAULT:
            schema["default"] = msgspec.to_builtins(field.default)
        yield _parameter(field.encode_name, "query", schema, required=field.required)


def _parameter(name: str, where: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    about = schema.pop("description", "")
    return {"name": name, "in": where, "required": required, "description": about, "schema": schema}


def _conditions(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.edits and operation.method != "GET":
        about = {"type": "string", "description": "The ETag of the version that the change is based on"}
        yield _parameter("If-Match", "header", about, required=False)


@dataclass(frozen=True, slots=True)
class Line:
    """A field or parameter on the readable page."""

    name: str
    kind: str
    about: str
    required: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation on the readable page."""

    id: str
    method: str
    path: str
    summary: str
    about: str
    parameters: list[Line]
    body: list[Line]
    answer: list[Line]
    example: str
    statuses: list[tuple[str, str]]
    curl: str


def readable(described: dict[str, Any]) -> dict[str, list[Entry]]:
    """Return what the readable page shows, by tag."""
    found: dict[str, list[Entry]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append(_entry(described, path, method.upper(), operation))
    return found


def _entry(described: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Entry:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    success = next(iter(operation["responses"].values()))
    answer = success.get("content", {}).get("application/json", {})
    example = msgspec.json.format(msgspec.json.encode(answer["example"])).decode() if "example" in answer else ""
    parameters = [
        _line(p["name"], {**p["schema"], "description": p["description"]}, required=p["required"])
        for p in operation["parameters"]
    ]
    return Entry(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        about=operation["description"].replace("`", ""),
        parameters=parameters,
        body=_lines(described, body.get("schema", {})),
        answer=_lines(described, answer.get("schema", {})),
        example=example,
        statuses=[(status, _about(described, response)) for status, response in operation["responses"].items()],
        curl=_curl(described["servers"][0]["url"], path, method, body),
    )


def _about(described: dict[str, Any], response: dict[str, Any]) -> str:
    name = response.get("$ref", "").rpartition("/")[2]
    return str((described["components"]["responses"][name] if name else response)["description"])


def _lines(described: dict[str, Any], schema: dict[str, Any]) -> list[Line]:
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = set(schema.get("required", ()))
    return [_line(name, each, required=name in required) for name, each in schema.get("properties", {}).items()]


def _line(name: str, schema: dict[str, Any], *, required: bool) -> Line:
    return Line(name, _kind(schema), schema.get("description", "").replace("`", ""), required)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return re.sub(r"\W|_$", "", schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    return str(schema.get("format") or schema.get("type") or "anything")


def _curl(base: str, path: str, method: str, body: dict[str, Any]) -> str:
    parts = ["curl", *([] if method == "GET" else [f"-X {method}"]), '-H "Authorization: Bearer $TRACKSIDE_KEY"']
    if "example" in body:
        sent = msgspec.json.encode(body["example"]).decode().replace("'", "'\\''")
        parts += ['-H "Content-Type: application/json"', f"-d '{sent}'"]
    return " ".join([*parts, f"'{base}{path}'"])
