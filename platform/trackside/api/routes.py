"""`Api`: what a module's API is declared with.

A handler is a typed function. Its first parameter is the `Call`; `query` and `body` are structs (see `Input`), every
other parameter is one of the path. The return type is the answer's: a struct, a `Page[...]`, or None for 204.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

import msgspec

from trackside.errors import StartError, TracksideError

Handler = TypeVar("Handler", bound=Callable[..., Any])
_PATH = r"\{(\w+)\}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    """`<api>.<function>`, unique."""
    tag: str
    method: str
    path: str
    """Below `/api/v1`, with parameters in braces: `/accounts/{account_id}`."""
    scope: str
    """What the admin key must carry; empty: any admin key."""
    handler: Callable[..., Any]
    summary: str
    description: str
    parameters: dict[str, Any]
    """Types of the path's parameters, by name."""
    query: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None
    returns: Any
    status: int
    edits: bool
    """Takes `If-Match`, and answers 412 where someone was faster."""
    errors: tuple[type[TracksideError], ...]
    example: Any
    sends: Any


class Api:
    """A module's routes under `/api/v1`."""

    def __init__(self, name: str, *, title: str) -> None:
        """Start an API called `name` (the prefix of its operations), shown as `title`."""
        self.name = name
        self.title = title
        self.operations: list[Operation] = []

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare a read; see `route`."""
        return self.route("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare a creation or an action; see `route`."""
        return self.route("POST", path, **options)

    def put(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare a replacement; see `route`."""
        return self.route("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare an edit; see `route`."""
        return self.route("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare a removal; see `route`."""
        return self.route("DELETE", path, **options)

    def route(
        self,
        method: str,
        path: str,
        *,
        scope: str = "",
        status: int | None = None,
        edits: bool = False,
        errors: tuple[type[TracksideError], ...] = (),
        example: Any = None,
        sends: Any = None,
    ) -> Callable[[Handler], Handler]:
        """Declare an operation.

        Args:
            method: the HTTP method.
            path: below `/api/v1`; `{name}` is a parameter of the handler.
            scope: what the admin key must carry, declared in the module's `scopes`; empty: any admin key will do.
            status: of a success; default 200, or 204 where the handler returns None.
            edits: the answer has an ETag and the call may name one (`If-Match`).
            errors: what it raises besides the usual, e.g. `(Conflict,)`.
            example: an answer for the documentation.
            sends: a body for the documentation.

        """

        def declare(handler: Handler) -> Handler:
            made = _operation(
                self,
                method,
                path,
                handler,
                scope=scope,
                status=status,
                edits=edits,
                errors=errors,
                example=example,
                sends=sends,
            )
            self.operations.append(made)
            return handler

        return declare


def _operation(
    api: Api,
    method: str,
    path: str,
    handler: Callable[..., Any],
    *,
    scope: str,
    status: int | None,
    edits: bool,
    errors: tuple[type[TracksideError], ...],
    example: Any,
    sends: Any,
) -> Operation:
    name = handler.__name__
    hints = get_type_hints(handler, include_extras=True)
    returns = hints.pop("return", None)
    returns = None if returns is type(None) else returns
    names = list(inspect.signature(handler).parameters)[1:]
    parameters = {each: hints[each] for each in names if each not in {"query", "body"}}
    if set(parameters) != set(re.findall(_PATH, path)):
        raise StartError(f"API {api.name}.{name}: the parameters of {path} and of the function differ")
    doc = inspect.getdoc(handler) or ""
    if not doc:
        raise StartError(f"API {api.name}.{name} has no docstring, and so no documentation")
    summary, _, description = doc.partition("\n")
    return Operation(
        id=f"{api.name}.{name}",
        tag=api.title,
        method=method,
        path=path,
        scope=scope,
        handler=handler,
        summary=summary.rstrip("."),
        description=description.strip(),
        parameters=parameters,
        query=hints.get("query"),
        body=hints.get("body"),
        returns=returns,
        status=status or (200 if returns is not None else 204),
        edits=edits,
        errors=errors,
        example=example,
        sends=sends,
    )
