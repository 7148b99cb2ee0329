"""Turn what a metrics request says into a batch: names to ours, units to seconds, points checked one by one."""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from trackside_modules.usage.ingest.batch import Batch, Calls, Covered, Notice, Reading, Release, Shape, Subject
from trackside_modules.usage.ingest.otlp.answers import Verdict
from trackside_modules.usage.ingest.otlp.conventions import NEW, OLD, Naming, release, seconds_in, subject, text_of
from trackside_modules.usage.ingest.otlp.origins import Origins
from trackside_modules.usage.ingest.otlp.points import CUMULATIVE, DELTA, Metric, Point, too_many
from trackside_modules.usage.ingest.otlp.times import Refused, check_time, is_ahead
from trackside_modules.usage.storage.histogram import SCALE, Histogram, estimate, index_of, merge, pack

_NANO = 1_000_000_000
_NO_VALUE = 1
_MOST_CALLS, _LONGEST, _MOST_BUCKETS = 10**12, 7 * 24 * 3600.0, 4096
_TELL_MISSING_USERS = 0.25
CLIENT_COUNTS = {"trackside.client.folded": "client-folded", "trackside.client.lost": "client-lost"}
"""What our own clients tell of themselves as attributes of the resource: requests they had to fold, or lost."""
MOST_POINTS = 100_000
"""Points counted in one request: each may become a row of its own, in memory here and again in the fold."""


class _Sum:
    """What the delta points of one subject and minute add up to."""

    __slots__ = ("approximate", "calls", "latency", "longest", "micros")

    def __init__(self) -> None:
        self.calls = self.micros = self.longest = 0
        self.latency: Histogram = {}
        self.approximate = False


def normalise(metrics: Iterable[Metric], naming: Naming, now: int) -> tuple[Batch, Verdict]:
    """Return the batch a request holds, and the verdict to answer with.

    Metrics that are not the duration of HTTP server requests are accepted and left out. Where one resource sends the
    durations under both names (`OTEL_SEMCONV_STABILITY_OPT_IN=http/dup`) only the new name counts.

    Args:
        metrics: The request's metrics, as a reader yields them.
        naming: Which attributes name the user and the account.
        now: The time of arrival in nanoseconds since 1970.

    Raises:
        ValueError: The request is malformed; found only while its points are read.
        TooLarge: It holds more points than are taken at once.

    """
    wanted = [metric for metric in metrics if metric.name in (NEW, OLD)]
    renewed = {_identity(metric) for metric in wanted if metric.name == NEW}
    intake = _Intake(naming, now)
    for metric in wanted:
        if metric.name == NEW or _identity(metric) not in renewed:
            intake.take(metric)
    return intake.batch(), intake.verdict()


def _identity(metric: Metric) -> bytes:
    return msgspec.msgpack.encode(sorted(metric.source.resource.items()))


class _Intake:
    """Collects the points of one request."""

    def __init__(self, naming: Naming, now: int) -> None:
        self._naming, self._now = naming, now
        self._sums: dict[tuple[Subject, int, int], _Sum] = {}
        self._covered: set[tuple[str, int, int]] = set()
        self._readings: list[Reading] = []
        self._origins = Origins("metrics")
        self._refused: Counter[str] = Counter()
        self._notices: Counter[tuple[str, str]] = Counter()
        self._releases: set[Release] = set()
        self._taken = self._without_user = self._seen = 0

    def take(self, metric: Metric) -> None:
        """Take a metric's points; refuse all of them where the metric itself cannot be used."""
        self._seen += metric.size
        if self._seen > MOST_POINTS:
            raise too_many(MOST_POINTS)
        unit = seconds_in(metric.name, metric.unit)
        if not metric.is_histogram:
            self._refused["the metric is not a histogram"] += metric.size
        elif unit is None:
            self._refused["the unit is none of s, ms, us, ns"] += metric.size
        elif metric.temporality not in (DELTA, CUMULATIVE):
            self._refused["the temporality is neither delta nor cumulative"] += metric.size
        else:
            self._take_points(metric, unit)

    def _take_points(self, metric: Metric, unit: float) -> None:
        source = metric.source
        if named := release(source.resource):
            self._releases.add(named)
        for attribute, kind in CLIENT_COUNTS.items():
            if (told := text_of(source.resource.get(attribute))).isdecimal() and len(told) < 13:
                self._notices[kind, text_of(source.resource.get("service.name"))[:120]] += int(told)
        head = [sorted(source.resource.items()), source.scope, source.version, metric.name]
        prefix = hashlib.blake2b(msgspec.msgpack.encode(head), digest_size=16)
        for point in metric.points:
            if point.flags & _NO_VALUE or not point.count:
                self._taken += 1
                continue
            try:
                time = self._checked(point, unit, str(source.resource.get("service.name", "")))
            except Refused as refusal:
                self._refused[str(refusal)] += 1
                continue
            about, unusable = subject(point.attributes, source.resource, self._naming)
            self._taken += 1
            self._without_user += not about.user
            rough = point.bounds is not None or point.scale < SCALE or unit != 1.0
            self._origins.add(source, about, point.time, approximate=rough)
            if unusable:
                self._notices["user-unusable", about.service] += 1
            if metric.temporality == DELTA:
                self._add(point, about, time, unit)
            else:
                stream = prefix.copy()
                stream.update(msgspec.msgpack.encode(sorted(point.attributes.items())))
                self._readings.append(_reading(point, about, time, unit, stream.digest()))

    def _checked(self, point: Point, unit: float, service: str) -> int:
        """Return the minute a point counts in; raise when the point cannot be true."""
        _check_numbers(point, unit)
        check_time(point.time, self._now)
        if is_ahead(point.time, self._now):
            self._notices["clock-ahead", service[:120]] += 1
        return (min(point.time, self._now) - 1) // (60 * _NANO)

    def _add(self, point: Point, about: Subject, minute: int, unit: float) -> None:
        shape, buckets = _buckets(point, unit)
        longest = None if point.high is None else point.high * unit
        latency = shape.histogram(buckets, point.zero, longest)
        if not latency:  # counted without buckets: all that is known of the durations is their mean
            latency = {index_of((point.total or 0.0) / point.count * unit): point.count}
        start = point.start if 0 < point.start < point.time else 0
        self._covered.add((about.service, start or point.time, point.time))
        added = self._sums.setdefault((about, minute, start), _Sum())
        merge(added.latency, latency)
        added.calls += point.count
        added.micros += round(_total(point, latency, unit) * 1e6)
        added.longest = max(added.longest, round((estimate(max(latency)) if longest is None else longest) * 1e6))
        added.approximate |= not shape.exact

    def batch(self) -> Batch:
        """Return what was taken."""
        calls = [
            Calls(about, minute, it.calls, it.micros, it.longest, pack(it.latency), it.approximate, start)
            for (about, minute, start), it in self._sums.items()
        ]
        told = itertools.chain(
            self._notices.items(), ((("refused", reason), points) for reason, points in self._refused.items())
        )
        notices = [Notice(kind, about, points) for (kind, about), points in told]
        return Batch(
            calls,
            self._readings,
            notices,
            releases=sorted(self._releases, key=_named),
            origins=self._origins.all(),
            covered=[Covered(*each) for each in sorted(self._covered)],
        )

    def verdict(self) -> Verdict:
        """Return how many points were refused and why, or what the sender should know."""
        rejected = self._refused.total()
        parts = [f"{points} x {reason}" for reason, points in self._refused.most_common(5)]
        if rejected:
            parts = [f"{rejected} points refused: " + "; ".join(parts)]
        if self._taken and self._without_user >= self._taken * _TELL_MISSING_USERS:
            share = 100 * self._without_user / self._taken
            parts.append(f"user id missing on {share:.0f} % of points: set one of {', '.join(self._naming.user)}")
        return Verdict(rejected, ". ".join(parts))


def _named(each: Release) -> tuple[str, str]:
    return each.service, each.version


def _check_numbers(point: Point, unit: float) -> None:
    durations = [value for value in (point.total, point.low, point.high) if value is not None]
    if not all(map(math.isfinite, durations)) or any(value < 0 for value in durations) or point.negative:
        raise Refused("durations are negative or not numbers")
    if not 0 < point.count <= _MOST_CALLS or any(count < 0 for count in point.counts) or point.zero < 0:
        raise Refused("the count is negative or impossibly large")
    if len(point.counts) > _MOST_BUCKETS:
        raise Refused(f"there are more than {_MOST_BUCKETS} buckets")
    if (point.counts or point.bounds is None) and sum(point.counts) + point.zero != point.count:
        raise Refused("the buckets do not add up to the count")
    longest = max(point.high or 0.0, (point.total or 0.0) / point.count) * unit
    if longest > _LONGEST:
        raise Refused("a duration is longer than 7 days")
    _check_cut(point)


def _check_cut(point: Point) -> None:
    if point.bounds is None:
        if not -10 <= point.scale <= 20 or not -(2**31) <= point.offset < 2**31:
            raise Refused("the scale or offset is out of range")
        if not (math.isfinite(point.zero_to) and point.zero_to >= 0):
            raise Refused("the zero threshold is negative or no number")
        return
    if point.counts and len(point.counts) != len(point.bounds) + 1:
        raise Refused("there must be one bucket more than bounds")
    if not all(map(math.isfinite, point.bounds)) or any(a >= b for a, b in itertools.pairwise(point.bounds)):
        raise Refused("the bounds are not rising numbers")


def _buckets(point: Point, unit: float) -> tuple[Shape, dict[int, int]]:
    """Return how the buckets are cut and their counts, scales finer than we need reduced."""
    if point.bounds is not None:
        shape = Shape(tuple(bound * unit for bound in point.bounds))
        return shape, {number: count for number, count in enumerate(point.counts) if count}
    most = SCALE if unit == 1.0 else 2 * SCALE
    shift = max(0, point.scale - most)
    buckets: Histogram = {}
    merge(buckets, (((point.offset + n) >> shift, count) for n, count in enumerate(point.counts) if count))
    return Shape(None, min(point.scale, most), unit, point.zero_to), buckets


def _total(point: Point, latency: Histogram, unit: float) -> float:
    """Return the sum of the durations in seconds, estimated where the source does not tell it."""
    if point.total is not None:
        return point.total * unit
    return sum(estimate(index) * count for index, count in latency.items())


def _reading(point: Point, about: Subject, minute: int, unit: float, stream: bytes) -> Reading:
    shape, buckets = _buckets(point, unit)
    return Reading(
        stream,
        about,
        point.start if 0 < point.start <= point.time else 0,
        point.time,
        minute,
        point.count,
        None if point.total is None else round(point.total * unit * 1e6),
        None if point.high is None else round(point.high * unit * 1e6),
        shape,
        point.zero,
        buckets,
    )
