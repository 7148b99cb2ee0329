"""`POST /v1/metrics`: read, normalise, commit, answer; in the lane, without Flask."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore

from trackside.auth.principal import KeyPrincipal
from trackside.db import psycopg_url
from trackside.errors import BadRequest, NotFound, TracksideError, Unavailable
from trackside.lane import LaneRequest, LaneResponse, read_body, status_line
from trackside.runtime import Runtime
from trackside_modules.usage.otlp import answers, json_form, protobuf
from trackside_modules.usage.otlp.conventions import Naming
from trackside_modules.usage.otlp.normalise import normalise
from trackside_modules.usage.store import Parcel, Store

LIMIT = 64 * 2**20
"""Bytes of a body, before and after decompression."""
LARGE_AT_ONCE = 2
"""Bodies over 1 MiB in work at once in a process: each may cost several times its size."""
_PATIENCE = 1.0
"""Seconds that a large body waits for its turn."""


class UnsupportedType(TracksideError):
    """The Content-Type is none that is taken here."""

    status = 415
    code = "unsupported-type"
    title = "This content type is not taken here"


def metrics(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of OTLP metrics of this process."""
    store = Store(psycopg_url(runtime.settings.database_url))
    naming = Naming(runtime.settings.user_attributes)
    turns = BoundedSemaphore(LARGE_AT_ONCE)

    def handle(request: LaneRequest) -> LaneResponse:
        key = request.key
        assert key is not None
        media = answers.media_type(str(request.environ.get("CONTENT_TYPE", "")))
        if media is None:
            raise UnsupportedType("Send application/x-protobuf or application/json.")
        with ExitStack() as held:
            content = read_body(request.environ, LIMIT, on_large=lambda: held.enter_context(_turn(turns)))
            return take(content, key, media)

    def take(content: bytes, key: KeyPrincipal, media: str) -> LaneResponse:
        now = runtime.clock.now()
        try:
            read = json_form.read if media == answers.JSON else protobuf.read
            batch, verdict = normalise(read(content), naming, int(now.timestamp() * 1e9))
        except ValueError as error:
            raise BadRequest(f"This request could not be read: {error}.") from error
        name = hashlib.sha256(b"%d:" % key.key_id)
        name.update(content)
        verdict, _ = store.put(Parcel(key.env_id, name.digest(), now, batch.pack(), verdict))
        return LaneResponse("200 OK", answers.accepted(verdict, media), [("Content-Type", media)])

    return handle


def unheard(_runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of the signals that are not taken: it says so, and SDKs print what it says."""

    def handle(request: LaneRequest) -> LaneResponse:
        signal = request.path.rpartition("/")[2]
        raise NotFound(
            f"Trackside takes metrics alone in this version, no {signal}: send metrics to /v1/metrics and set "
            f"OTEL_{signal.upper()}_EXPORTER=none."
        )

    return handle


@contextmanager
def _turn(turns: BoundedSemaphore) -> Iterator[None]:
    if not turns.acquire(timeout=_PATIENCE):
        raise Unavailable("Other large bodies are being read: send this one again shortly.", retry_after=2)
    try:
        yield
    finally:
        turns.release()


def failure(request: LaneRequest, error: TracksideError) -> LaneResponse:
    """Return an error as OTLP has it: a `google.rpc.Status` in the request's own type."""
    media = answers.media_type(str(request.environ.get("CONTENT_TYPE", ""))) or answers.JSON
    headers = [("Content-Type", media)]
    if getattr(error, "retry_after", None) is not None:
        headers.append(("Retry-After", str(getattr(error, "retry_after", 2))))
    message = error.message or error.title
    return LaneResponse(status_line(error), answers.status(error.status, message, media), headers)
