"""What a request says, free of its encoding: the protobuf and the JSON readers both yield these."""

from collections.abc import Iterable
from typing import Union

import msgspec

from trackside.errors import TooLarge

Scalar = str | int | float | bool
Attributes = dict[str, Scalar]
Value = Union[Scalar, None, list["Value"], dict[str, "Value"]]  # noqa: UP007 - a name in quotes needs Union

DELTA, CUMULATIVE = 1, 2
SERVER = 2
"""The kind of a span that answers a request."""


class Point(msgspec.Struct, gc=False):
    """One histogram data point.

    Explicit buckets have `bounds`; without them the buckets are exponential ones of `scale`, the first at `offset`.
    `total`, `low` and `high` are in the metric's unit, the times in nanoseconds since 1970.
    """

    attributes: Attributes
    start: int
    time: int
    flags: int
    count: int
    total: float | None
    low: float | None
    high: float | None
    counts: list[int]
    bounds: list[float] | None = None
    scale: int = 0
    offset: int = 0
    zero: int = 0
    negative: int = 0
    zero_to: float = 0.0


class Source(msgspec.Struct, gc=False):
    """Who measured: the resource's attributes, and the name and version of the instrumentation scope."""

    resource: Attributes
    scope: str
    version: str


class Metric(msgspec.Struct, gc=False):
    """One metric of one source; `points` is read once, and only where the metric is of use."""

    source: Source
    name: str
    unit: str
    temporality: int
    is_histogram: bool
    size: int
    points: Iterable[Point]


class Span(msgspec.Struct, gc=False):
    """A server's span; times in nanoseconds since 1970, the trace id in hex."""

    source: Source
    attributes: Attributes
    start: int
    end: int
    trace: str = ""
    nested: bool = False
    """Whether its parent is a span of the same process: another instrumentation of the same request."""
    failed: bool = False
    message: str = ""
    """What the status says of the failure."""
    exception: Attributes | None = None
    """The attributes of its first exception event."""


class Log(msgspec.Struct, gc=False):
    """A log record that is an event or tells of an exception."""

    source: Source
    event: str
    time: int
    attributes: Attributes
    body: Value
    trace: str = ""


def too_many(most: int) -> TooLarge:
    """Return the error of a request that says more than is taken at once, whatever its size in bytes."""
    return TooLarge(
        f"This request holds more than {most:,} metrics, points, spans or records: send them in several requests."
    )
