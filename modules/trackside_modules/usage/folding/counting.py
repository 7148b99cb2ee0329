"""From what batches tell to counts: calls that came summed up, and plain events, by the numbers of what they name."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
from psycopg import Connection

from trackside_modules.usage.folding import arrivals, endpoints, follow, identities
from trackside_modules.usage.folding.arrivals import Arrivals
from trackside_modules.usage.ingest.batch import Batch, Calls, Subject
from trackside_modules.usage.storage.counts import Buckets, Counts, joined, summed, unpacked
from trackside_modules.usage.storage.histogram import ZERO
from trackside_modules.usage.storage.packs import Ints


def count(
    connection: Connection[Any],
    env_id: int,
    found: tuple[list[Calls], list[Batch]],
    noticed: Counter[tuple[str, str]],
    now: datetime,
) -> Counts:
    """Return calls and the events of batches, summed; make the endpoints and users that are new."""
    calls, batches = found
    subjects = {it.subject for it in calls}
    names = {(s.service, s.method, s.route) for s in subjects} | arrivals.names(batches)
    named, over = endpoints.resolve(connection, env_id, names, now)
    for service, _, _ in over:
        noticed["endpoints-over", service] += 1
    people = subjects | {Subject("", "", "", 0, *person) for person in arrivals.people(batches)}
    users, unknown = identities.resolve(connection, people)
    if unknown:
        noticed["users-over", ""] += unknown
    places = {it: place for place, it in enumerate(subjects)}
    numbers = np.array([(named[s.service, s.method, s.route], users.get(s.user, 0), s.status) for s in places])
    summed_up = _of_calls(calls, numbers.reshape(-1, 3)[_column(places[it.subject] for it in calls)])
    events = arrivals.gather(batches, named, users)
    follow.note(connection, env_id, arrivals.sightings(events, batches, named, users), noticed, now)
    return summed(joined(summed_up, _of_events(events)))


def _of_calls(calls: list[Calls], numbers: Ints) -> Counts:
    endpoint, user, status = numbers.T
    return Counts(
        at=_column(it.minute * 60 for it in calls),
        endpoint=endpoint,
        user=user,
        status=status,
        calls=_column(it.calls for it in calls),
        micros=_column(it.micros for it in calls),
        longest=_column(it.longest for it in calls),
        approximate=_column(it.approximate for it in calls),
        latency=unpacked([it.latency for it in calls]),
    )


def _of_events(events: Arrivals) -> Counts:
    ones = np.ones(len(events), dtype=np.int64)
    return Counts(
        at=events.at // 60_000 * 60,
        endpoint=events.endpoint,
        user=events.user,
        status=events.status,
        calls=ones,
        micros=events.micros,
        longest=events.micros,
        approximate=ones * 0,
        latency=Buckets(np.arange(len(events)), events.index - ZERO, ones),
    )


def _column(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
