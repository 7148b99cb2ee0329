"""Hot routes answered before Flask: types of the lane (see `trackside.serve` for the WSGI callable).

Flask's request machinery costs about 40 us and a flag check about 1 us, so hot and stateless routes are plain functions
of a `LaneRequest`. Only routes that modules name in their manifests go here; same keys, same errors as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trackside.api.problem import CONTENT_TYPE, problem_body
from trackside.auth.principal import KeyPrincipal
from trackside.errors import TracksideError


@dataclass(frozen=True, slots=True)
class LaneRequest:
    """A request of the lane: WSGI's environ and the API key behind it."""

    environ: Mapping[str, Any]
    path: str
    key: KeyPrincipal | None
    """None only where an error is reported before the key was checked."""


@dataclass(frozen=True, slots=True)
class LaneResponse:
    """An answer: status line such as `200 OK`, headers, body."""

    status: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = field(default=())


def problem(request: LaneRequest, error: TracksideError) -> LaneResponse:
    """Return `error` as problem+json, with Retry-After where waiting helps."""
    headers = [("Content-Type", CONTENT_TYPE)]
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return LaneResponse(f"{error.status} {error.title}", problem_body(error), headers)
