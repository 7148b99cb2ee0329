"""Who counts a service's requests, its metrics or its server spans: each request once, whichever comes first.

Metrics say how much was called from one moment to another, spans tell of single requests. Both may come from the same
service, so spans count only where no metrics do:

- A service's spans wait until it is clear whether it sends metrics: 90 s from its first one (SDKs export metrics every
  60 s), afterwards they count at once. Where it does send metrics, spans wait until metrics cover the time they ended
  at, and are dropped; they count only if metrics have been silent for an hour.
- Where metrics begin while spans are counting, an interval of theirs that reaches back into counted time is left to the
  spans, up to its end; from there on the metrics count. `counted_to` is the end of the newest span counted.

What waits lies in `usage_held`, written and taken in the fold's transaction, so that a crash loses and doubles nothing.
docs/adr/0025-spans-count-where-metrics-do-not.md tells what this cannot decide.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg import Connection

from trackside_modules.usage.ingest.batch import Batch, Calls, Reading, Request, Subject
from trackside_modules.usage.storage.histogram import Histogram, index_of, merge, pack

WAIT = timedelta(seconds=90)
SILENT = timedelta(hours=1)
MOST_SERVICES = 2000
MOST_HELD = 16 * 2**20
"""Bytes that may wait in an environment, some 150,000 requests; what comes after is decided at once."""
_ALIVE = timedelta(minutes=10)
"""Since when metrics may have come last for them to be sure to count what there is no room for."""
_OTHERS = 5 * 60 * 10**9
"""Nanoseconds within which the other processes of a service are heard after its first metrics."""
_AHEAD = 60 * 10**9
_JITTER = 10**9
"""Nanoseconds by which a stream may begin after the end of the request that it counts first."""
_MINUTE = 60 * 10**9

_LOAD = """
select service, spans_since, counted_to, covered_from, covered_to, metrics_at from usage_coverage
where env_id = %s and (service = any(%s) or service in (select distinct service from usage_held where env_id = %s))
"""
_SAVE = """
insert into usage_coverage (env_id, service, spans_since, counted_to, covered_from, covered_to, metrics_at)
select %s, it.* from unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[])
    as it
on conflict (env_id, service) do update set spans_since = excluded.spans_since, counted_to = excluded.counted_to,
    covered_from = excluded.covered_from, covered_to = excluded.covered_to, metrics_at = excluded.metrics_at
"""
_DUE = """
select distinct h.env_id from usage_held h join usage_coverage c using (env_id, service)
where case when c.metrics_at is null then c.spans_since <= %(now)s - %(wait)s
    else c.metrics_at <= %(now)s - %(silent)s and h.received_at <= %(now)s - %(wait)s end
"""
_WAITING = "select id, service, received_at, newest from usage_held where env_id = %s order by id"
_TAKE = "delete from usage_held where env_id = %s and id = any(%s) returning service, received_at, body"
_HOLD = "insert into usage_held (env_id, service, received_at, newest, body) values (%s, %s, %s, %s, %s)"
_SIZE = "select coalesce(sum(octet_length(body)), 0) from usage_held where env_id = %s"
_KNOWN = "select count(*) from usage_coverage where env_id = %s"

_DECODER = msgspec.msgpack.Decoder(list[Request])


class Stand(msgspec.Struct):
    """How far a service's spans have counted and what its metrics cover: nanoseconds, the ends included."""

    spans_since: datetime | None = None
    counted_to: int = 0
    covered_from: int | None = None
    covered_to: int | None = None
    metrics_at: datetime | None = None

    def cover(self, end: int, received: datetime, *, left: bool) -> None:
        """Take note that metrics tell of what was up to `end`; `left` where that is left to the spans.

        All that was not counted before is theirs: SDKs tell as a stream's start when its first request had ended.
        """
        self.metrics_at = max(received, self.metrics_at or received)
        self.covered_to = max(end, self.covered_to or end)
        if left:
            self.covered_from = max(end, self.covered_from or 0)
        elif self.covered_from is None:
            self.covered_from = self.counted_to

    @property
    def left_until(self) -> int:
        """Metrics that begin before this are left to the spans; 0 where no span was counted."""
        return self.counted_to + _JITTER if self.counted_to else 0

    def clear(self, received: datetime, now: datetime) -> bool:
        """Whether spans that came then need not wait for metrics any more."""
        if self.metrics_at is None:
            return self.spans_since is not None and self.spans_since <= now - WAIT
        return self.metrics_at <= now - SILENT and received <= now - WAIT


def due(connection: Connection[Any], now: datetime) -> set[int]:
    """Return the environments where spans have waited long enough."""
    return {env_id for (env_id,) in connection.execute(_DUE, {"now": now, "wait": WAIT, "silent": SILENT})}


class Takeover:
    """Decides within one fold; `counts` and `counts_reading` for all metrics first, then `from_spans`."""

    def __init__(self, connection: Connection[Any], env_id: int, batches: Sequence[tuple[datetime, Batch]]) -> None:
        self._connection, self._env_id = connection, env_id
        self._told = [(received, it) for received, batch in batches for it in batch.requests]
        named = {it.subject.service for _, it in self._told}
        for _, batch in batches:
            named |= {it.service for it in batch.covered} | {it.subject.service for it in batch.readings}
        rows = connection.execute(_LOAD, (env_id, sorted(named), env_id))
        self._stands = {service: Stand(*rest) for service, *rest in rows}
        self._before = {service: msgspec.structs.replace(stand) for service, stand in self._stands.items()}
        for service in named:
            self._stands.setdefault(service, Stand())
        self._until = {service: stand.left_until for service, stand in self._stands.items()}
        for received, batch in batches:
            for it in batch.covered:
                left = it.start < self._until[it.service]
                self._stands[it.service].cover(it.time, received, left=left)

    def counts(self, calls: Calls) -> bool:
        """Whether a delta point counts: it does not reach back into what spans have counted."""
        return not calls.start or calls.start >= self._until.get(calls.subject.service, 0)

    def counts_reading(self, last: Reading | None, new: Reading, received: datetime, *, whole: bool) -> bool:
        """Whether what a cumulative stream grew by counts; `whole` for a first reading that counts in full."""
        service = new.subject.service
        until = self._until[service]
        start = last.time if last else (new.start if whole else new.time)
        # a stream that begins later counts in full: it may tell the start of its process
        left = start < until and (last is not None or new.time <= until + _OTHERS)
        self._stands[service].cover(new.time, received, left=left)
        return not left

    def from_spans(self, now: datetime) -> tuple[list[Calls], int]:
        """Return the calls that spans count now, and how many requests nobody counts, for want of room."""
        waiting: dict[tuple[str, datetime], list[Request]] = defaultdict(list)
        for received, it in self._told:
            stand = self._stands[it.subject.service]
            if not it.always and stand.spans_since is None:
                stand.spans_since = received
            waiting[it.subject.service, received].append(it)
        for service, received, body in self._released(now):
            waiting[service, received].extend(_DECODER.decode(body))
        room = self._room() if waiting else 0
        counted: dict[tuple[Subject, int], list[Request]] = defaultdict(list)
        lost = 0
        for (service, received), requests in sorted(waiting.items(), key=lambda each: each[0]):
            kept, held = self._decided(service, received, requests, now)
            if held:
                size = self._hold(service, received, held, room)
                room -= size
                told_at = self._stands[service].metrics_at
                if not size and told_at is None:
                    kept += held
                elif not size and told_at and told_at < now - _ALIVE:
                    lost += len(held)
            arrived = int(received.timestamp() * 1e9)
            for it in kept:
                counted[it.subject, (min(it.end, arrived) - 1) // _MINUTE].append(it)
        self._save()
        return [_sum(subject, minute, requests) for (subject, minute), requests in counted.items()], lost

    def _released(self, now: datetime) -> Iterable[tuple[str, datetime, bytes]]:
        """Take out what metrics cover by now, or what has waited long enough."""
        if not self._before:
            return ()
        ids = [
            id_
            for id_, service, received, newest in self._connection.execute(_WAITING, (self._env_id,))
            if (stand := self._stands.get(service)) is not None
            and (newest <= (stand.covered_to or 0) or stand.clear(received, now))
        ]
        return self._connection.execute(_TAKE, (self._env_id, ids)).fetchall() if ids else ()

    def _decided(
        self, service: str, received: datetime, requests: list[Request], now: datetime
    ) -> tuple[list[Request], list[Request]]:
        """Return which requests count, and which have to wait; the others are counted by metrics."""
        stand = self._stands[service]
        clear = stand.clear(received, now)
        limit = int(received.timestamp() * 1e9) + _AHEAD
        kept, held = [], []
        for it in requests:
            if it.always or (stand.covered_from is not None and it.end <= stand.covered_from):
                kept.append(it)
            elif stand.covered_to is not None and it.end <= stand.covered_to:
                continue
            elif clear:
                kept.append(it)
                stand.counted_to = max(stand.counted_to, min(it.end, limit))
            else:
                held.append(it)
        return kept, held

    def _room(self) -> int:
        """Return the bytes that may still wait; none for services that cannot be remembered."""
        row = self._connection.execute(_SIZE, (self._env_id,)).fetchone()
        return MOST_HELD - int(row[0] if row else 0)

    def _hold(self, service: str, received: datetime, requests: list[Request], room: int) -> int:
        """Keep requests for later; return the bytes they take, 0 where there is no room."""
        if service not in self._before and not self._may_know():
            return 0
        body = msgspec.msgpack.encode(requests)
        if len(body) > room:
            return 0
        newest = max(it.end for it in requests)
        self._connection.execute(_HOLD, (self._env_id, service, received, newest, body))
        return len(body)

    def _may_know(self) -> bool:
        row = self._connection.execute(_KNOWN, (self._env_id,)).fetchone()
        new = len(self._stands.keys() - self._before.keys())
        return row is not None and row[0] + new <= MOST_SERVICES

    def _save(self) -> None:
        changed = sorted(it for it in self._stands.items() if self._before.get(it[0]) != it[1])
        if not all(service in self._before for service, _ in changed) and not self._may_know():
            changed = [it for it in changed if it[0] in self._before]
        if changed:
            columns = zip(*((service, *msgspec.structs.astuple(stand)) for service, stand in changed), strict=True)
            self._connection.execute(_SAVE, (self._env_id, *map(list, columns)))


def _sum(subject: Subject, minute: int, requests: list[Request]) -> Calls:
    latency: Histogram = {}
    merge(latency, ((index_of(it.micros / 1e6), 1) for it in requests))
    micros = [it.micros for it in requests]
    return Calls(subject, minute, len(requests), sum(micros), max(micros), pack(latency), approximate=False)
