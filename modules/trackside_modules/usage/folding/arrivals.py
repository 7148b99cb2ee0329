"""Single requests of many batches as numbers by column: what the fold counts plain events from, and trails from all.

Each batch numbers its endpoints and users for itself; here they get the numbers they have everywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trackside_modules.usage.ingest.batch import Batch
from trackside_modules.usage.storage.histogram import HIGHEST, SCALE, ZERO, upper_bounds

Ints = NDArray[np.int64]
Name = tuple[str, str, str]

_TINY = upper_bounds()[0]
_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests: when (milliseconds since 1970), what, by whom (0: nobody known), how they ended, how long they took."""

    at: Ints
    endpoint: Ints
    user: Ints
    status: Ints
    micros: Ints
    index: Ints
    """The bucket of the latency histogram."""

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.at)


def names(batches: Iterable[Batch]) -> set[Name]:
    """Return the endpoints (service, method, route) of the single requests in these batches."""
    found: set[Name] = set()
    for batch in batches:
        found.update((it.subject.service, it.subject.method, it.subject.route) for it in batch.requests)
        for events in batch.events:
            found.update(events.names)
    return found


def people(batches: Iterable[Batch]) -> set[tuple[str, str]]:
    """Return the users and their accounts."""
    found: set[tuple[str, str]] = set()
    for batch in batches:
        found.update((it.subject.user, it.subject.account) for it in batch.requests)
        for events in batch.events:
            found.update(events.people)
    return found


def gather(batches: Iterable[Batch], endpoints: Mapping[Name, int], users: Mapping[str, int]) -> Arrivals:
    """Return the plain events of these batches; endpoints and users by the numbers given."""
    parts = [it for batch in batches for it in batch.events]
    millis = np.frombuffer(b"".join([it.millis for it in parts]), np.float64)
    return Arrivals(
        np.frombuffer(b"".join([it.at for it in parts]), np.int64),
        _numbered([([endpoints[name] for name in it.names], it.name) for it in parts]),
        _numbered([([users.get(user, 0) for user, _ in it.people], it.person) for it in parts]),
        np.frombuffer(b"".join([it.status for it in parts]), np.int16).astype(np.int64),
        np.rint(millis * 1000).astype(np.int64),
        indexes(millis / 1000),
    )


def indexes(seconds: NDArray[np.float64]) -> Ints:
    """Return the bucket of each duration, as `histogram.index_of` does for one."""
    found: Ints = np.ceil(np.log2(np.clip(seconds, _TINY, _LONGEST)) * (1 << SCALE)).astype(np.int64) - 1
    found[seconds <= _TINY] = ZERO
    found[seconds >= _LONGEST] = HIGHEST
    return found


def _numbered(parts: Iterable[tuple[list[int], bytes]]) -> Ints:
    """Return the numbers that places in each part's own list stand for, of all parts in a row."""
    found = [np.array(numbers, np.int64)[np.frombuffer(places, np.int32)] for numbers, places in parts]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _none() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Sightings:
    """That users were seen at endpoints: who (0: nobody known), when (milliseconds since 1970), where."""

    user: Ints = field(default_factory=_none)
    at: Ints = field(default_factory=_none)
    endpoint: Ints = field(default_factory=_none)

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.user)

    def columns(self) -> tuple[Ints, Ints, Ints]:
        """Return users, times and endpoints."""
        return self.user, self.at, self.endpoint

    def known(self) -> "Sightings":
        """Return those of known users."""
        kept = self.user != 0
        return self if kept.all() else Sightings(*(column[kept] for column in self.columns()))


def sightings(
    events: Arrivals, batches: Iterable[Batch], endpoints: Mapping[Name, int], users: Mapping[str, int]
) -> Sightings:
    """Return who was seen where: by plain events, and by the server spans of these batches, counted or not."""
    found = []
    for request in (each for batch in batches for each in batch.requests):
        about = request.subject
        endpoint = endpoints.get((about.service, about.method, about.route))
        if endpoint and about.user in users:
            found.append((users[about.user], request.end // 1_000_000, endpoint))
    spans = np.array(found, np.int64).reshape(-1, 3)
    own = (events.user, events.at, events.endpoint)
    return Sightings(*(np.concatenate(both) for both in zip(own, spans.T, strict=True)))
