"""What an event looks like, and how a body of them is read: as a whole where all is well, else one by one.

A large body is always read one by one: as a whole it would keep every other request waiting for a tenth of a second.
The form is ours, so a field we do not know is refused, and so is a key given twice; both name the event that has it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trackside.body import LARGE
from trackside.errors import BadRequest, InputError, TooLarge

MOST_EVENTS = 100_000
"""Events of one request: each may become a row of its own."""
LONGEST_MS = 7 * 24 * 3600 * 1000.0
_MOST_COMMAS = 16 * MOST_EVENTS
_KEY = b'":'

_Id = Annotated[str, Meta(max_length=1000)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | UnsetType | None
_Bytes = Annotated[int, Meta(ge=0, le=2**53)] | UnsetType | None


class Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One request that a service answered."""

    ts: Annotated[datetime, Meta(tz=True)] | int
    method: Annotated[str, Meta(max_length=100)]
    route: Annotated[str, Meta(max_length=4000)]
    status: Annotated[int, Meta(ge=0, le=599)]
    duration_ms: Annotated[float, Meta(ge=0, le=LONGEST_MS)]
    user: _Id = UNSET
    account: _Id = UNSET
    service: str | UnsetType | None = UNSET
    error: str | UnsetType | None = UNSET
    request_bytes: _Bytes = UNSET
    response_bytes: _Bytes = UNSET


_FIELDS = len(Event.__struct_fields__)


class _Whole(msgspec.Struct, forbid_unknown_fields=True):
    events: list[Event]
    batch_id: str | UnsetType | None = UNSET


class _Pieces(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]
    batch_id: str | UnsetType | None = UNSET


_WHOLE, _PIECES = msgspec.json.Decoder(_Whole), msgspec.json.Decoder(_Pieces)
_ONE = msgspec.json.Decoder(Event)


@dataclass(slots=True)
class Read:
    """What a body holds: events by their place in it, why others were left out, and the batch's id where it has one."""

    events: list[Event]
    places: list[int] | None = None
    """The place of each event; None where all are there, in order."""
    refused: dict[int, str] = field(default_factory=dict)
    batch_id: str | None = None


def read_json(content: bytes) -> Read:
    """Return what `{"batch_id"?, "events": [...]}` holds.

    Raises BadRequest for what is no JSON, InputError where it has another form, TooLarge for too many events.
    """
    if len(content) <= LARGE:
        try:
            whole = _WHOLE.decode(content)
            if content.count(_KEY) == _keys(whole.events) + _outer(whole):
                return _checked(Read(whole.events, batch_id=whole.batch_id or None))
        except (msgspec.MsgspecError, RecursionError):
            pass  # the next reading tells which event it is
    if content.count(b",") > _MOST_COMMAS:
        raise _too_many()
    pieces = _pieces(content)
    raws = [bytes(raw) for raw in pieces.events]
    if content.count(_KEY) - sum(raw.count(_KEY) for raw in raws) > _outer(pieces):
        raise BadRequest("A key of the request is given twice.")
    return _checked(_one_by_one(raws, pieces.batch_id or None))


def read_lines(content: bytes) -> Read:
    """Return what a body with an event on each line holds; blank lines do not count. Raises TooLarge."""
    if content.count(b"\n") > 2 * MOST_EVENTS:
        raise _too_many()
    if len(content) <= LARGE:
        try:
            events = _ONE.decode_lines(content)
            if content.count(_KEY) == _keys(events):
                return _checked(Read(events))
        except (msgspec.MsgspecError, RecursionError):
            pass
    return _checked(_one_by_one([line for line in content.split(b"\n") if line.strip()], None))


def _checked(read: Read) -> Read:
    if len(read.events) + len(read.refused) > MOST_EVENTS:
        raise _too_many()
    return read


def _too_many() -> TooLarge:
    return TooLarge(f"This request holds more than {MOST_EVENTS:,} events: send them in several requests.")


def _pieces(content: bytes) -> _Pieces:
    try:
        return _PIECES.decode(content)
    except msgspec.ValidationError as error:
        raise InputError(f'Send {{"events": [...]}}: {_plain(error)}.') from error
    except RecursionError as error:
        raise BadRequest("This JSON is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"This is no JSON: {_plain(error)}.") from error


def _one_by_one(raws: list[bytes], batch_id: str | None) -> Read:
    read = Read([], [], {}, batch_id)
    assert read.places is not None
    for place, raw in enumerate(raws):
        try:
            event = _ONE.decode(raw)
            if raw.count(_KEY) != _keys([event]):
                _refuse_twice(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, BadRequest) as error:
            read.refused[place] = _plain(error)
        except RecursionError:
            read.refused[place] = "it is nested too deeply"
        else:
            read.events.append(event)
            read.places.append(place)
    return read


def _keys(events: list[Event]) -> int:
    """Return how many keys these events have when none is given twice."""
    absent = (
        [event.user for event in events].count(UNSET)
        + [event.account for event in events].count(UNSET)
        + [event.service for event in events].count(UNSET)
        + [event.error for event in events].count(UNSET)
        + [event.request_bytes for event in events].count(UNSET)
        + [event.response_bytes for event in events].count(UNSET)
    )
    return len(events) * _FIELDS - absent


def _outer(read: _Whole | _Pieces) -> int:
    """Return how often the mark of a key stands outside of the events when none is given twice."""
    return 1 if read.batch_id is UNSET else 2 + msgspec.json.encode(read.batch_id).count(_KEY)


def _refuse_twice(raw: bytes) -> None:
    def pairs(found: Iterable[tuple[str, Any]]) -> None:
        names = [name for name, _ in found]
        if len(names) != len(set(names)):
            raise BadRequest("a key is given twice")

    json.loads(raw, object_pairs_hook=pairs)


def _plain(error: Exception) -> str:
    """Return what a reader has to say, the field first: `status: expected int, got str`."""
    said, _, place = str(error).partition(" - at ")
    said = said.replace("`", "")
    said = said[:1].lower() + said[1:] if said[:1].isupper() and not said.startswith("JSON") else said
    place = place.strip("`").removeprefix("$").removeprefix(".")
    text = f"{place}: {said}" if place else said
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", "", text)[:200]


def iterate(read: Read) -> Iterator[tuple[int, Event]]:
    """Return the events with their places."""
    return zip(read.places if read.places is not None else range(len(read.events)), read.events, strict=True)
