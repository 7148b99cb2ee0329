"""From events to columns: names and people numbered once for each batch, the rest as arrays the fold reads at once.

No object is made and one dictionary asked for each event and column: 100,000 events a second and core is the aim. A
batch is reduced as a whole; where that fails, the same function says for a single event why.
"""

from array import array
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from msgspec import UNSET

from trackside.customers import identity
from trackside_modules.usage.ingest.batch import Events
from trackside_modules.usage.ingest.events.form import Event
from trackside_modules.usage.ingest.otlp.conventions import METHODS
from trackside_modules.usage.ingest.paths import UNWANTED, template
from trackside_modules.usage.models.names import UNMATCHED

AHEAD, FAR_AHEAD, ANCIENT = 60_000, 24 * 3600 * 1000, 400 * 24 * 3600 * 1000
"""Milliseconds ahead of our clock that pass without a word, that are refused, and ago that are refused."""
NO_SERVICE = "unknown_service"
_SERVICE_LENGTH = 120
_SECONDS = range(10**9, 10**10)
"""What a time looks like whose sender counted seconds."""


class Unfit(Exception):
    """An event that cannot be counted; its text says why."""


class _Names(dict[tuple[object, str, str], int]):
    """Numbers of endpoints by service, method and route as they were sent."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str, str], int] = {}

    def __missing__(self, sent: tuple[object, str, str]) -> int:
        number = self[sent] = self.made.setdefault(_name(*sent), len(self.made))
        return number


class _People(dict[tuple[object, object], int]):
    """Numbers of users by user and account as they were sent; an account alone is a user of its own."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], int] = {}

    def __missing__(self, sent: tuple[object, object]) -> int:
        number = self[sent] = self.made.setdefault(_person(*sent), len(self.made))
        return number


@dataclass(frozen=True, slots=True)
class Columns:
    """Events by column, as plain lists: `name` and `person` are places in `names` and `people`."""

    names: list[tuple[str, str, str]]
    people: list[tuple[str, str]]
    times: list[int]
    millis: list[float]
    name: list[int]
    person: list[int]
    statuses: list[int]
    ahead: list[int]
    """Places of events whose time was too far ahead to pass without a word; they count now."""

    def pack(self) -> Events:
        """Return the columns as they are stored."""
        return Events(
            self.names,
            self.people,
            array("q", self.times).tobytes(),
            array("d", self.millis).tobytes(),
            array("i", self.name).tobytes(),
            array("i", self.person).tobytes(),
            array("h", self.statuses).tobytes(),
        )


def reduce(events: list[Event], now: int) -> Columns:
    """Return events as columns; raise Unfit where one of them cannot be counted.

    Args:
        events: At least one.
        now: The time of arrival in milliseconds since 1970.

    """
    times = _times([event.ts for event in events])
    ahead: list[int] = []
    _check_times(min(times), last := max(times), now)
    if last > now:
        ahead = [place for place, time in enumerate(times) if time > now + AHEAD]
        times = [min(time, now) for time in times]
    statuses = [event.status for event in events]
    if impossible := [status for status in set(statuses) if 0 < status < 100]:
        raise Unfit(f"status: {impossible[0]} is no HTTP status; send 0 where there was no answer")
    names, people = _Names(), _People()
    name = [names[event.service, event.method, event.route] for event in events]
    person = [people[event.user, event.account] for event in events]
    millis = [event.duration_ms for event in events]
    return Columns(list(names.made), list(people.made), times, millis, name, person, statuses, ahead)


def _times(told: list[datetime | int]) -> list[int]:
    """Return times in milliseconds since 1970."""
    return [int(ts.timestamp() * 1000) if isinstance(ts, datetime) else ts for ts in told]


def _check_times(first: int, last: int, now: int) -> None:
    if last > now + FAR_AHEAD:
        raise Unfit("ts: more than 24 hours ahead of this server's clock")
    if first < now - ANCIENT:
        hint = "; are these seconds? Send milliseconds" if first in _SECONDS else ""
        raise Unfit(f"ts: more than 400 days ago{hint}")


def _service(sent: object) -> str:
    if sent is None or sent is UNSET or not (text := str(sent).strip()):
        return NO_SERVICE
    if len(text) > _SERVICE_LENGTH or UNWANTED.search(text):
        raise Unfit(f"service: longer than {_SERVICE_LENGTH} characters, or with characters that cannot be seen")
    return text


def _method(sent: str) -> str:
    return sent.upper() if sent.upper() in METHODS else "_OTHER"


@lru_cache(maxsize=4096)
def _name(service: object, method: str, route: str) -> tuple[str, str, str]:
    return _service(service), _method(method), _route(route)


@lru_cache(maxsize=16_384)
def _person(user: object, account: object) -> tuple[str, str]:
    user, account = _id("user", user), _id("account", account)
    return user or account, account


def _route(sent: str) -> str:
    if UNWANTED.search(sent):
        raise Unfit("route: it holds characters that cannot be seen")
    return template(sent) or UNMATCHED


def _id(field: str, sent: object) -> str:
    if sent is None or sent is UNSET or not (text := str(sent).strip()):
        return ""
    if problem := identity.refusal(text):
        raise Unfit(f"{field}: {problem}")
    return text
