"""Hot routes answered before Flask: what a module's lane handler gets and gives (`trackside.serve` calls it).

Flask's request machinery costs about 40 us and a flag check about 1 us, so hot and stateless routes are plain functions
of a `LaneRequest`. Only routes that modules name in their manifests go here; same keys, same errors as everywhere.
A handler raises `TracksideError`; its route's `errors` says it in the protocol's own form.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trackside.auth.principal import KeyPrincipal
from trackside.body import read_body
from trackside.errors import TracksideError
from trackside.problem import CONTENT_TYPE, problem_body

__all__ = ["SAFE", "Complete", "LaneRequest", "LaneResponse", "complete", "problem", "read_body", "status_line"]
SAFE = (
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)
"""Headers of what Flask does not answer; a route's own come first."""


# not frozen: that would cost as much as a flag check
@dataclass(slots=True)
class LaneRequest:
    """A request of the lane: WSGI's environ and the API key behind it."""

    environ: Mapping[str, Any]
    path: str
    key: KeyPrincipal | None
    """None only where an error is reported before the key was checked."""

    def body(self, limit: int) -> bytes:
        """Return the body, decompressed; see `trackside.body.read_body`."""
        return read_body(self.environ, limit)


@dataclass(slots=True)
class LaneResponse:
    """An answer: status line such as `200 OK`, headers, body."""

    status: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = field(default=())


class Complete(tuple[tuple[str, str], ...]):
    """Headers with those of `SAFE` among them: made once for answers that have the same ones."""

    __slots__ = ()


def complete(headers: Iterable[tuple[str, str]]) -> Complete:
    """Return `headers` with those of `SAFE` that they lack."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return Complete([*given, *(each for each in SAFE if each[0].lower() not in names)])


def status_line(error: TracksideError) -> str:
    """Return the status line of `error`, such as `413 too-large`: the code, since titles are sentences."""
    return f"{error.status} {error.code}"


def problem(_request: LaneRequest, error: TracksideError) -> LaneResponse:
    """Return `error` as problem+json, with Retry-After where waiting helps."""
    headers = [("Content-Type", CONTENT_TYPE)]
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return LaneResponse(status_line(error), problem_body(error), headers)
