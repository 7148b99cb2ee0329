"""`POST /v1/events`: read, check, commit, answer; in the lane, without Flask.

A body is JSON, `{"batch_id"?, "events": [...]}`, or NDJSON, an event on each line. A bad event is refused by itself,
with its index; the rest counts. What is answered is stored with the batch, so a repeat is answered the same.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import msgspec

from trackside.auth.principal import KeyPrincipal
from trackside.customers import identity
from trackside.errors import InputError, TracksideError
from trackside.lane import LaneRequest, LaneResponse, read_body
from trackside.runtime import Runtime
from trackside_modules.usage.ingest.batch import Batch
from trackside_modules.usage.ingest.events import notes
from trackside_modules.usage.ingest.events.columns import Columns, Unfit, reduce
from trackside_modules.usage.ingest.events.form import Read, iterate, read_json, read_lines
from trackside_modules.usage.ingest.lane import UnsupportedType, turn, turns_of
from trackside_modules.usage.ingest.otlp.answers import Verdict
from trackside_modules.usage.ingest.store import Parcel, shared

LIMIT = 16 * 2**20
"""Bytes of a body, before and after decompression."""
MOST_LISTED = 1000
"""Refused events that are named one by one; the others are still missing from `accepted`."""
_READERS: Mapping[str, Callable[[bytes], Read]] = {
    "application/json": read_json,
    "application/x-ndjson": read_lines,
    "application/ndjson": read_lines,
    "application/jsonl": read_lines,
}
_HEADERS = [("Content-Type", "application/json")]


class LengthRequired(TracksideError):
    """A body without a length, in a form that can end anywhere."""

    status = 411
    code = "length-required"
    title = "Send a Content-Length"


class _Refusal(msgspec.Struct):
    index: int
    error: str


class _Answer(msgspec.Struct, omit_defaults=True):
    """The answer; `payload` is stored with it to tell a repeat from another batch of the same name."""

    accepted: int
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET
    rejected: list[_Refusal] | msgspec.UnsetType = msgspec.UNSET
    note: str = ""
    payload: str = ""


def events(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of plain events of this process."""
    store, turns = shared(runtime), turns_of(runtime)

    def handle(request: LaneRequest) -> LaneResponse:
        key, environ = request.key, request.environ
        assert key is not None
        reader = _reader(environ)
        with ExitStack() as held:
            content = read_body(environ, LIMIT, on_large=lambda: held.enter_context(turn(turns)))
            read = reader(content)
            named = _batch_id(read, environ)
            now = runtime.clock.now()
            batch, answer = _taken(read, int(now.timestamp() * 1000), str(environ.get("HTTP_USER_AGENT", "")))
            answer.payload = hashlib.sha256(content).hexdigest()
            verdict = Verdict(len(read.refused), msgspec.json.encode(answer).decode())
            stored, repeated = store.put(Parcel(key.env_id, _name(key, named, answer), now, batch.pack(), verdict))
        return LaneResponse("202 Accepted", _said(stored, answer.payload, repeated), _HEADERS)

    return handle


def _reader(environ: Mapping[str, Any]) -> Callable[[bytes], Read]:
    media = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    reader = _READERS.get(media)
    if reader is None:
        raise UnsupportedType("Send application/json or application/x-ndjson: -H 'Content-Type: application/json'.")
    if reader is read_lines and not environ.get("CONTENT_LENGTH") and not environ.get("HTTP_CONTENT_ENCODING"):
        # cut at a line's end it would look whole, and half of it would count
        raise LengthRequired("Send NDJSON with a Content-Length or gzip: cut short, it could not be told from whole.")
    return reader


def _batch_id(read: Read, environ: Mapping[str, Any]) -> str | None:
    """Return what the sender calls this batch, in the body or as `Idempotency-Key`; None where it does not say."""
    header = str(environ.get("HTTP_IDEMPOTENCY_KEY", "")).strip()
    header = header[1:-1] if len(header) > 1 and header[0] == header[-1] == '"' else header
    if read.batch_id and header and read.batch_id != header:
        raise InputError("The Idempotency-Key is not the batch_id of the body.", {"batch_id": "Give one of the two."})
    named = read.batch_id or header or None
    if named and (problem := identity.refusal(named)):
        raise InputError(f"This batch_id is not taken: {problem}.", {"batch_id": problem})
    return named


def _name(key: KeyPrincipal, named: str | None, answer: _Answer) -> bytes:
    told = f"id:{named}" if named else f"payload:{answer.payload}"
    return hashlib.sha256(f"events:{key.key_id}:{told}".encode()).digest()


def _taken(read: Read, now: int, agent: str) -> tuple[Batch, _Answer]:
    """Return the batch that a body makes, and the answer to it; what cannot be counted is noted as refused."""
    columns = _columns(read, now)
    batch = Batch([], [], notes.notices(columns, read.refused))
    if columns:
        seen = notes.notable(read.events, columns)
        batch.samples, batch.failures = seen.samples, seen.failures
        batch.origins, batch.events = notes.origins(columns, agent), [columns.pack()]
    listed = [_Refusal(place, read.refused[place]) for place in sorted(read.refused)[:MOST_LISTED]]
    return batch, _Answer(len(read.events), rejected=listed)


def _columns(read: Read, now: int) -> Columns | None:
    """Return the events as columns, after sorting out those that cannot be counted; None where none is left."""
    try:
        return reduce(read.events, now) if read.events else None
    except Unfit:
        _sift(read, now)
        return reduce(read.events, now) if read.events else None


def _sift(read: Read, now: int) -> None:
    """Move the events that cannot be counted to the refused ones."""
    fit, places = [], []
    for place, event in iterate(read):
        try:
            reduce([event], now)
        except Unfit as error:
            read.refused[place] = str(error)
        else:
            fit.append(event)
            places.append(place)
    read.events, read.places = fit, places


def _said(stored: Verdict, payload: str, repeated: bool) -> bytes:
    answer = msgspec.json.decode(stored.message, type=_Answer)
    answer.duplicate = repeated
    if answer.payload != payload:
        answer.note = "This batch_id was first given to another payload: nothing of this one was counted."
    answer.payload = ""
    return msgspec.json.encode(answer)
