"""The compact form of a batch between the door and the fold: what `usage_inbox` stores, as msgpack.

Delta points and plain events are already complete: they arrive as `Calls`, summed by minute and subject. A point of a
cumulative stream means nothing without the one before it, so it stays a `Reading` until the fold subtracts.
"""

import msgspec

from trackside_modules.usage.storage.histogram import Histogram, from_explicit, from_exponential, is_tiny

VERSION = 1


class Subject(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was called, how it ended, and for whom; `user` and `account` are empty where unknown."""

    service: str
    method: str
    route: str
    status: int
    user: str
    account: str


class Calls(msgspec.Struct, array_like=True, gc=False):
    """Requests of one subject in one minute (since 1970); times in microseconds, latency as packed histogram."""

    subject: Subject
    minute: int
    calls: int
    micros: int
    longest: int
    latency: bytes
    approximate: bool
    start: int = 0
    """Since when a delta point counted, in nanoseconds; 0 where calls were told one by one (see `takeover`)."""


class Shape(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How a cumulative point's buckets are cut: by bounds in seconds, or by an exponential scale and a unit."""

    bounds: tuple[float, ...] | None
    scale: int = 0
    unit: float = 1.0
    zero_to: float = 0.0
    """Upper end of the zero bucket, in the unit."""

    def histogram(self, buckets: dict[int, int], zero: int, longest: float | None) -> Histogram:
        """Return our buckets for these; `longest` in seconds bounds an open one."""
        if self.bounds is not None:
            return from_explicit(self.bounds, buckets, high=longest)
        return from_exponential(self.scale, buckets, zero, self.unit, self.zero_to)

    @property
    def exact(self) -> bool:
        """Whether no precision beyond our own buckets' is lost."""
        return self.bounds is None and self.scale >= 4 and self.unit == 1.0 and is_tiny(self.zero_to)


class Reading(msgspec.Struct, array_like=True, gc=False):
    """A cumulative stream's counters since `start` as read at `time` (both nanoseconds since 1970)."""

    stream: bytes
    subject: Subject
    start: int
    time: int
    minute: int
    calls: int
    micros: int | None
    longest: int | None
    shape: Shape
    zero: int
    buckets: dict[int, int]


class Notice(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Something a person should know about a batch: a kind, what it is about, and how many points it touches."""

    kind: str
    about: str
    points: int


class Release(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A version of a service, as its resource names it."""

    service: str
    version: str


class Request(msgspec.Struct, array_like=True, gc=False):
    """One request that a server span tells of; `end` in nanoseconds since 1970.

    It counts where no metrics do (see `takeover`); `always` where they never can.
    """

    subject: Subject
    end: int
    micros: int
    always: bool = False


class Covered(msgspec.Struct, array_like=True, gc=False):
    """That a service's metrics tell of all its requests from `start` to `time` (nanoseconds since 1970)."""

    service: str
    start: int
    time: int


class Sample(msgspec.Struct, array_like=True, gc=False):
    """A single request worth seeing; `at` in nanoseconds since 1970, texts masked and bounded (see `notable`)."""

    subject: Subject
    at: int
    micros: int
    path: str = ""
    error: str = ""
    message: str = ""
    trace: str = ""


class Failure(msgspec.Struct, array_like=True, gc=False):
    """So many requests of one subject that failed alike within a minute (since 1970)."""

    subject: Subject
    minute: int
    error: str
    message: str
    calls: int = 1
    logged: bool = False
    """Whether a log told of it, beside a span that tells the same where the service sends spans."""


class Origin(msgspec.Struct, array_like=True, gc=False):
    """Who sent a batch and what was in it: one for each service, instance and signal."""

    service: str
    signal: str
    """`metrics`, `traces`, `logs` or `events`."""
    sdk: str = ""
    language: str = ""
    version: str = ""
    distro: str = ""
    scope: str = ""
    instance: str = ""
    newest: int = 0
    """The newest time told, in nanoseconds since 1970."""
    points: int = 0
    without_user: int = 0
    without_route: int = 0
    approximate: int = 0


class Person(msgspec.Struct, array_like=True, gc=False):
    """What a service says about a user: a name, and the account's id; empty where it does not say."""

    user: str
    name: str = ""
    account: str = ""


class Route(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An endpoint that a service has, called or not."""

    service: str
    method: str
    route: str


class Events(msgspec.Struct, array_like=True, gc=False):
    """Single requests by column: `names` and `people` once each, the rest native arrays with an element a request."""

    names: list[tuple[str, str, str]]
    """Service, method and route."""
    people: list[tuple[str, str]]
    """User and account, empty where unknown."""
    at: bytes
    """When, in milliseconds since 1970: int64."""
    millis: bytes
    """How long, in milliseconds: float64."""
    name: bytes
    """Which of `names`: int32."""
    person: bytes
    """Which of `people`: int32."""
    status: bytes
    """0 where there was no answer: int16."""


class Batch(msgspec.Struct, array_like=True):
    """All that one accepted request says."""

    calls: list[Calls]
    readings: list[Reading]
    notices: list[Notice]
    version: int = VERSION
    releases: list[Release] = msgspec.field(default_factory=list[Release])
    samples: list[Sample] = msgspec.field(default_factory=list[Sample])
    failures: list[Failure] = msgspec.field(default_factory=list[Failure])
    origins: list[Origin] = msgspec.field(default_factory=list[Origin])
    requests: list[Request] = msgspec.field(default_factory=list[Request])
    covered: list[Covered] = msgspec.field(default_factory=list[Covered])
    people: list[Person] = msgspec.field(default_factory=list[Person])
    routes: list[Route] = msgspec.field(default_factory=list[Route])
    events: list[Events] = msgspec.field(default_factory=list[Events])

    @property
    def is_empty(self) -> bool:
        """Whether nothing in it is of any use: a request that need not be kept."""
        said = (self.calls, self.readings, self.notices, self.releases, self.samples, self.failures, self.origins)
        return not any(said) and not any((self.requests, self.covered, self.people, self.routes, self.events))

    def pack(self) -> bytes:
        """Return the batch as bytes."""
        return msgspec.msgpack.encode(self)


_DECODER = msgspec.msgpack.Decoder(Batch)


def unpack(body: bytes) -> Batch:
    """Return the batch that `pack` wrote; raise `msgspec.MsgspecError` for anything else."""
    return _DECODER.decode(body)
