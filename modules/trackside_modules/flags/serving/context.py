"""The context of an evaluation, read without trusting it: bounded, and refused in OFREP's words."""

import json
from typing import Any, ClassVar

import msgspec

from trackside.errors import TracksideError
from trackside_client.flags import check_context

LIMIT = 128 * 1024
"""Bytes of a body, after decompression."""
_SURELY_FEW = 2000
"""Bytes of a body that cannot hold more attributes than are taken."""


class Refused(TracksideError):
    """A request that cannot be evaluated; `error_code` is OFREP's."""

    status: ClassVar[int] = 400
    code = "refused"
    title = "This cannot be evaluated"

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class _Asked(msgspec.Struct):
    context: dict[str, Any] | None = None


_ASKED = msgspec.json.Decoder(_Asked)


def read_context(body: bytes) -> dict[str, Any]:
    """Return the context of a body such as `{"context": {"targetingKey": "u_42"}}`; empty where it has none.

    Raises Refused: PARSE_ERROR for what is no JSON or has a key twice, INVALID_CONTEXT for wrong types and too much.
    """
    if not body:
        return {}
    try:
        context = _ASKED.decode(body).context or {}
    except msgspec.ValidationError as error:
        raise Refused("INVALID_CONTEXT", f'Send {{"context": {{...}}}}, an object: {error}.') from error
    except RecursionError as error:
        raise Refused("PARSE_ERROR", "The JSON is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise Refused("PARSE_ERROR", f"The body is not JSON: {str(error)[:200]}.") from error
    if len(body) > _SURELY_FEW and (problem := check_context(context)):
        raise Refused("INVALID_CONTEXT", f"This context is not taken: {problem}.")
    if body.count(b'":') != len(context) + 1:
        # a key that is there twice, or one with a space behind it, or something nested: look closely
        _check_keys(body)
    user = context.get("targetingKey")
    if user is not None and type(user) is not str:
        raise Refused("INVALID_CONTEXT", "The targetingKey must be a text: the user's id as your API knows it.")
    return context


def _check_keys(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_pairs)
    except RecursionError as error:
        raise Refused("PARSE_ERROR", "The JSON is nested too deeply.") from error


def _pairs(pairs: list[tuple[str, Any]]) -> None:
    seen = {name for name, _ in pairs}
    if len(seen) != len(pairs):
        raise Refused("PARSE_ERROR", "A key is in this JSON twice: nobody can tell which one counts.")
