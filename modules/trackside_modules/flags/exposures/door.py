"""`POST /v1/flags/exposures`: what clients evaluated by themselves; read, check, commit, answer; in the lane."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Annotated, Any

import msgspec
import psycopg
from msgspec import Meta

from trackside.auth.principal import KeyPrincipal
from trackside.customers import identity
from trackside.errors import BadRequest, InputError, TracksideError, Unavailable
from trackside.lane import LaneRequest, LaneResponse
from trackside.runtime import Runtime
from trackside_client.flags import key_problem
from trackside_modules.flags.exposures.entries import Entry
from trackside_modules.flags.exposures.inbox import Parcel, Store
from trackside_modules.flags.serving.memory import Memory, shared

LIMIT = 1 << 20
"""Bytes of a body, before and after decompression."""
MOST = 10_000
"""Exposures in a batch."""
LARGEST = 10_000_000
"""Evaluations that one exposure may stand for."""
OLDEST, NEWEST = 35 * 86_400_000, 300_000
"""Milliseconds by which an exposure may be older or newer than our clock."""
CONNECTIONS = 2
_HEADERS = [("Content-Type", "application/json")]
_Text = Annotated[str, Meta(max_length=1000)]


class UnsupportedType(TracksideError):
    """The Content-Type is none that is taken here."""

    status = 415
    code = "unsupported-type"
    title = "This content type is not taken here"


class Sent(msgspec.Struct):
    """An exposure as it is sent; `ts` RFC 3339 or milliseconds since 1970, now where it is not told."""

    flag: _Text
    variant: _Text
    user: _Text | None = None
    account: _Text | None = None
    ts: int | datetime | None = None
    count: Annotated[int, Meta(ge=1, le=LARGEST)] = 1


class Batch(msgspec.Struct):
    """A batch as it is sent; each exposure is read by itself, so that a wrong one is refused by itself."""

    exposures: Annotated[list[msgspec.Raw], Meta(max_length=MOST)]
    batch_id: _Text | None = None


class _Refusal(msgspec.Struct):
    index: int
    error: str


class _Answer(msgspec.Struct):
    accepted: int
    duplicate: bool
    rejected: list[_Refusal]


_BATCH = msgspec.json.Decoder(Batch)
_SENT = msgspec.json.Decoder(Sent)


def exposures(runtime: Runtime) -> Callable[[LaneRequest], LaneResponse]:
    """Return the handler of exposures of this process."""
    memory, store = shared(runtime), Store(runtime.settings.database_url)
    runtime.closers.append(store.close)
    turns = BoundedSemaphore(CONNECTIONS)

    def handle(request: LaneRequest) -> LaneResponse:
        key = request.key
        assert key is not None
        if str(request.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedType("Send the body as application/json.")
        body = request.body(LIMIT)
        batch, now = _read(body), runtime.clock.now()
        entries, refused = _sorted(batch, memory, key.env_id, int(now.timestamp() * 1000))
        answer = msgspec.json.encode(_Answer(len(entries), duplicate=False, rejected=refused))
        if not entries and not batch.batch_id:
            return LaneResponse("202 Accepted", answer, _HEADERS)
        parcel = Parcel(key.env_id, _name(key, batch, body), now, entries, answer)
        return LaneResponse("202 Accepted", _kept(store, parcel, turns), _HEADERS)

    return handle


def _kept(store: Store, parcel: Parcel, turns: BoundedSemaphore) -> bytes:
    """Commit a batch and return its answer; raises Unavailable where that cannot be now."""
    if not turns.acquire(timeout=1.0):
        raise Unavailable("Other exposures are being stored: send this batch again shortly.", 2)
    try:
        answer, repeated = store.put_one(parcel)
    except psycopg.OperationalError as error:
        raise Unavailable("The database is away: send this batch again, it is counted once.", 5) from error
    finally:
        turns.release()
    found = msgspec.json.decode(answer or b"", type=_Answer)
    found.duplicate = repeated
    return msgspec.json.encode(found)


def _read(body: bytes) -> Batch:
    try:
        return _BATCH.decode(body)
    except msgspec.ValidationError as error:
        raise InputError(f'Send {{"exposures": [...]}}, at most {MOST:,}: {error}.') from error
    except RecursionError as error:
        raise BadRequest("The JSON is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(f"The body is not JSON: {str(error)[:200]}.") from error


def _name(key: KeyPrincipal, batch: Batch, body: bytes) -> bytes:
    """Return what identifies a batch: the key, and the id that its sender gave it, else all that is in it."""
    if batch.batch_id is not None and (problem := identity.refusal(batch.batch_id)):
        raise InputError(f"This batch_id is not taken: {problem}.", {"batch_id": problem})
    told = f"id:{batch.batch_id}".encode() if batch.batch_id else b"body:" + hashlib.sha256(body).digest()
    return hashlib.sha256(b"exposures:%d:%s" % (key.key_id, told)).digest()


def _sorted(batch: Batch, memory: Memory, env_id: int, now: int) -> tuple[list[Entry], list[_Refusal]]:
    """Return the exposures that count, and those that are refused, with why."""
    flags = memory.served(env_id).ruleset
    taken: list[Entry] = []
    refused: list[_Refusal] = []
    for index, raw in enumerate(batch.exposures):
        try:
            taken.append(_entry(_SENT.decode(raw), flags, now))
        except (msgspec.MsgspecError, ValueError, UnicodeError, RecursionError) as error:
            refused.append(_Refusal(index, str(error)[:200]))
    return taken, refused


def _entry(sent: Sent, flags: Any, now: int) -> Entry:
    """Return an exposure that counts; raises ValueError for one that does not."""
    if (problem := key_problem(sent.flag)) or flags.spec(sent.flag) is None:
        raise ValueError(f"flag: {problem or 'there is no such flag in this environment'}")
    if problem := identity.refusal(sent.variant):
        raise ValueError(f"variant: {problem}")
    for name, value in (("user", sent.user), ("account", sent.account)):
        if value is not None and (problem := identity.refusal(value)):
            raise ValueError(f"{name}: {problem}")
    at = _millis(sent.ts, now)
    if not now - OLDEST <= at <= now + NEWEST:
        raise ValueError("ts: it is more than 35 days old, or in the future")
    return Entry(sent.user, sent.account, (sent.flag, sent.variant), min(at, now), sent.count)


def _millis(ts: int | datetime | None, now: int) -> int:
    if isinstance(ts, datetime):
        return int((ts if ts.tzinfo else ts.replace(tzinfo=UTC)).timestamp() * 1000)
    return now if ts is None else ts
