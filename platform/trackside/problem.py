"""RFC 9457 problem details: how the API says what went wrong."""

from typing import Any

import msgspec

from trackside.errors import InputError, TracksideError

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every refused API request."""

    type: str
    title: str
    status: int
    detail: str = ""
    code: str = ""
    errors: dict[str, str] = {}


def problem(error: TracksideError) -> Problem:
    """Return `error` as a problem; `errors` maps a field's path to what is wrong with it."""
    fields: dict[str, Any] = error.fields if isinstance(error, InputError) else {}
    return Problem("about:blank", error.title, error.status, error.message, error.code, fields)


def problem_body(error: TracksideError) -> bytes:
    """Return `error` as problem+json bytes."""
    return msgspec.json.encode(problem(error))
