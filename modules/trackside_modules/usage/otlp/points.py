"""What a metrics request says, free of its encoding: the protobuf and the JSON reader both yield these."""

from collections.abc import Iterable

import msgspec

from trackside.errors import TooLarge

Scalar = str | int | float | bool
Attributes = dict[str, Scalar]

DELTA, CUMULATIVE = 1, 2


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


def too_many(most: int) -> TooLarge:
    """Return the error of a request that says more than is taken at once, whatever its size in bytes."""
    return TooLarge(f"This request holds more than {most:,} metrics or points: send them in several requests.")
