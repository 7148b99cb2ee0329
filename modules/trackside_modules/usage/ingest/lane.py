"""`POST /v1/metrics`, `/v1/traces`, `/v1/logs`: read, normalise, commit, answer; in the lane, without Flask."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore
from typing import TypeVar

from trackside.auth.principal import KeyPrincipal
from trackside.errors import BadRequest, TracksideError, Unavailable
from trackside.lane import LaneRequest, LaneResponse, read_body, status_line
from trackside.runtime import Runtime
from trackside_modules.usage.ingest.batch import Batch
from trackside_modules.usage.ingest.otlp import answers, json_form, protobuf, signals_json, signals_protobuf
from trackside_modules.usage.ingest.otlp.answers import Verdict
from trackside_modules.usage.ingest.otlp.conventions import Naming
from trackside_modules.usage.ingest.otlp.logs import take_logs
from trackside_modules.usage.ingest.otlp.normalise import normalise
from trackside_modules.usage.ingest.otlp.spans import take_spans
from trackside_modules.usage.ingest.store import Parcel, shared

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


_Door = Callable[[LaneRequest], LaneResponse]
_Content = TypeVar("_Content")


def metrics(runtime: Runtime) -> _Door:
    """Return the handler of OTLP metrics of this process."""
    return _door(runtime, "metrics", normalise, {answers.PROTOBUF: protobuf.read, answers.JSON: json_form.read})


def traces(runtime: Runtime) -> _Door:
    """Return the handler of OTLP traces of this process."""
    readers = {answers.PROTOBUF: signals_protobuf.spans, answers.JSON: signals_json.spans}
    return _door(runtime, "traces", take_spans, readers)


def logs(runtime: Runtime) -> _Door:
    """Return the handler of OTLP logs of this process."""
    readers = {answers.PROTOBUF: signals_protobuf.logs, answers.JSON: signals_json.logs}
    return _door(runtime, "logs", take_logs, readers)


def _door(
    runtime: Runtime,
    signal: str,
    batch_of: Callable[[Iterable[_Content], Naming, int], tuple[Batch, Verdict]],
    readers: Mapping[str, Callable[[bytes], Iterable[_Content]]],
) -> _Door:
    """Return the handler of `signal`: `readers` read a body, by its media type, and `batch_of` makes its batch."""
    store = shared(runtime)
    naming = Naming(runtime.settings.user_attributes)
    turns = turns_of(runtime)

    def handle(request: LaneRequest) -> LaneResponse:
        key = request.key
        assert key is not None
        media = answers.media_type(str(request.environ.get("CONTENT_TYPE", "")))
        if media is None:
            raise UnsupportedType("Send application/x-protobuf or application/json.")
        with ExitStack() as held:
            content = read_body(request.environ, LIMIT, on_large=lambda: held.enter_context(turn(turns)))
            return take(content, key, media)

    def take(content: bytes, key: KeyPrincipal, media: str) -> LaneResponse:
        now = runtime.clock.now()
        try:
            batch, verdict = batch_of(readers[media](content), naming, int(now.timestamp() * 1e9))
        except ValueError as error:
            raise BadRequest(f"This request could not be read: {error}.") from error
        if not batch.is_empty:
            verdict, _ = store.put(Parcel(key.env_id, _name(signal, key, content), now, batch.pack(), verdict))
        return LaneResponse("200 OK", answers.accepted(verdict, media, signal), [("Content-Type", media)])

    return handle


def _name(signal: str, key: KeyPrincipal, content: bytes) -> bytes:
    """Return what identifies a batch: signal, key and body."""
    name = hashlib.sha256(b"%d:" % key.key_id if signal == "metrics" else b"%s:%d:" % (signal.encode(), key.key_id))
    name.update(content)
    return name.digest()


class _Turns(BoundedSemaphore):
    """The large bodies in work in this process, whatever their signal."""


def turns_of(runtime: Runtime) -> BoundedSemaphore:
    """Return the turns of large bodies in this process, which all doors share."""
    turns = runtime.ports.get(_Turns)
    if turns is None:
        made = turns = _Turns(LARGE_AT_ONCE)
        runtime.ports.provide(_Turns, lambda: made)
    return turns


@contextmanager
def turn(turns: BoundedSemaphore) -> Iterator[None]:
    """Hold a turn; raise Unavailable where none comes free soon."""
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
