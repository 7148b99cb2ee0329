"""Cumulative streams: what happened between two readings of the same counters.

A stream is known by its resource, scope, metric and attributes, and by its start: two workers of one service report
under the same names but started at different nanoseconds, so their counters never mix.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from psycopg import Connection

from trackside_modules.usage.ingest.batch import Calls, Reading, Shape, Subject
from trackside_modules.usage.storage.histogram import Histogram, estimate, index_of, merge, pack

_DAY = 24 * 3600 * 1_000_000_000
_DECODER = msgspec.msgpack.Decoder(Reading)
_NOBODY = Subject("", "", "", 0, "", "")

_LOAD = """
select s.stream, s.start, s.reading from usage_stream s
join unnest(%s::bytea[], %s::bigint[]) as wanted (stream, start) using (stream, start) where s.env_id = %s
"""
_SAVE = """
insert into usage_stream (env_id, seen_at, stream, start, reading)
select %s, %s, it.* from unnest(%s::bytea[], %s::bigint[], %s::bytea[]) as it
on conflict (env_id, stream, start) do update set reading = excluded.reading, seen_at = excluded.seen_at
"""

Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a reading adds, if anything, and the kind of notice it gives rise to, if any."""

    calls: Calls | None = None
    notice: str | None = None
    moves: bool = True
    """Whether the stream now stands at this reading."""


def settle(last: Reading | None, new: Reading, received: int) -> Settled:
    """Return what happened in a stream since its last reading; `received` in nanoseconds since 1970.

    A stream seen for the first time counts in full when it started within the last 24 hours; what an older one counted
    before belongs to times nobody can tell any more, so it is the baseline. A falling count is a restart.
    """
    if last is None:
        if new.start and received - new.start <= _DAY:
            return Settled(_whole(new))
        return Settled(notice="stream-baseline")
    if new.time <= last.time:
        return Settled(moves=False)  # the later reading has counted these already
    if new.calls < last.calls:
        return Settled(_whole(new), "stream-restart")
    if new.calls == last.calls:
        return Settled()
    return Settled(_difference(last, new))


def _whole(reading: Reading) -> Calls:
    return _calls(reading, reading.calls, reading.micros, (reading.shape, reading.buckets, reading.zero))


def _difference(last: Reading, new: Reading) -> Calls:
    calls = new.calls - last.calls
    micros = None if new.micros is None or last.micros is None else max(0, new.micros - last.micros)
    shape, buckets, zero = _buckets_since(last, new)
    if any(count < 0 for count in buckets.values()) or zero < 0 or sum(buckets.values()) + zero != calls:
        # cut differently than before: the calls are certain, of their durations only the mean is
        buckets, zero = {}, 0
    return _calls(new, calls, micros, (shape, buckets, zero))


def _buckets_since(last: Reading, new: Reading) -> tuple[Shape, Histogram, int]:
    """Return the buckets' growth, at the coarser of the two scales."""
    old, now = last.shape, new.shape
    if (old.bounds, old.unit, old.zero_to) != (now.bounds, now.unit, now.zero_to):
        return now, {}, -1
    scale = min(old.scale, now.scale)
    grown: Histogram = {}
    merge(grown, ((index >> (now.scale - scale), count) for index, count in new.buckets.items()))
    merge(grown, ((index >> (old.scale - scale), -count) for index, count in last.buckets.items()))
    kept = {index: count for index, count in grown.items() if count}
    return Shape(now.bounds, scale, now.unit, now.zero_to), kept, new.zero - last.zero


def _calls(at: Reading, calls: int, micros: int | None, cut: tuple[Shape, Histogram, int]) -> Calls:
    shape, buckets, zero = cut
    longest = None if at.longest is None else at.longest / 1e6
    latency = shape.histogram(buckets, zero, longest)
    if not latency:
        latency = {index_of((micros or 0) / calls / 1e6): calls}
    if micros is None:
        micros = round(sum(estimate(index) * count for index, count in latency.items()) * 1e6)
    highest = round(estimate(max(latency)) * 1e6)
    highest = highest if at.longest is None else min(highest, at.longest)
    approximate = not shape.exact or not buckets
    return Calls(at.subject, at.minute, calls, micros, highest, pack(latency), approximate)


def load(connection: Connection[Any], env_id: int, keys: Iterable[Key]) -> dict[Key, Reading]:
    """Return where streams stand."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = connection.execute(
        _LOAD, ([stream for stream, _ in wanted], [start for _, start in wanted], env_id), prepare=False
    )
    return {(stream, start): _DECODER.decode(reading) for stream, start, reading in rows}


def save(connection: Connection[Any], env_id: int, readings: dict[Key, Reading], now: datetime) -> None:
    """Keep where streams stand now."""
    if not readings:
        return
    streams, starts = [stream for stream, _ in readings], [start for _, start in readings]
    # counters alone: nobody needs to know whose they were, and an erased user must not live on in here
    packed = [msgspec.msgpack.encode(msgspec.structs.replace(it, subject=_NOBODY)) for it in readings.values()]
    connection.execute(_SAVE, (env_id, now, streams, starts, packed))
