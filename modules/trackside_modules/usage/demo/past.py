"""The past of the demo API as numbers: how often who called what, with which outcome, and how long it took.

Nothing here knows a database. A cell is an endpoint, a user and a status; time goes in steps of an hour or a minute.
The calls of a step are drawn from a seed of its own, so the same step always holds the same calls, and sums are exact:
a cell's calls are spread over the latency buckets without rest.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from trackside.demo import story
from trackside.demo.api import MEDIAN_MS
from trackside.demo.people import COMPANIES, POWER_USER, Person, people
from trackside.demo.traffic import CALM
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage.counts import Buckets
from trackside_modules.usage.storage.histogram import ZERO, index_of
from trackside_modules.usage.storage.packs import WIDTH, Ints

Floats = NDArray[np.float64]

_SIGMA = 0.35
_REACH = 26
"""Buckets to either side of the median that durations are spread over: three standard deviations."""
_REFUSED_MS = 1.2
_SEED = 20_261
STRANGER = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is called: its share of the calls of those who call everything, and the median of its durations."""

    method: str
    route: str
    share: float
    median_ms: float
    outcomes: tuple[tuple[int, float], ...]
    """Status and share of the calls."""


_CODE = "/v1/tracking/<code>"
_LABELS = "/v1/labels"
ENDPOINTS = (
    Endpoint("GET", _CODE, 38, MEDIAN_MS["track"], ((200, 0.968), (500, 0.002), (503, 0.03))),
    Endpoint("GET", "/v1/rates", 24, MEDIAN_MS["rates"], ((200, 1.0),)),
    Endpoint("POST", "/v1/shipments", 12, MEDIAN_MS["create_shipment"], ((201, 0.97), (422, 0.03))),
    Endpoint("GET", "/v1/shipments/<shipment_id>", 9, MEDIAN_MS["shipment"], ((200, 0.9), (404, 0.1))),
    Endpoint("POST", "/v1/addresses/validate", 7, MEDIAN_MS["validate"], ((200, 1.0),)),
    Endpoint("GET", "/v1/shipments", 4, MEDIAN_MS["shipments"], ((200, 1.0),)),
    Endpoint("POST", _LABELS, 3, MEDIAN_MS["label"], ((201, 1.0),)),
    Endpoint("DELETE", "/v1/webhooks/<int:webhook_id>", 1, MEDIAN_MS["delete_webhook"], ((204, 1.0),)),
    Endpoint("GET", UNMATCHED, 1.5, _REFUSED_MS, ((404, 1.0),)),
)
FOLLOWS = (
    (1, 2, 0.31), (1, 1, 0.36), (1, 4, 0.14), (4, 1, 0.55), (4, 2, 0.28), (2, 6, 0.2), (2, 0, 0.52), (6, 0, 0.66),
    (0, 0, 0.71), (0, 3, 0.12), (3, 0, 0.5), (5, 3, 0.62), (0, 1, 0.1), (8, 1, 0.7),
)  # fmt: skip
"""Which endpoint is called after which, by their places, and in which share of the calls of the first."""
_STORE, _DESK, _SMALL, _STAFF = (0, 1, 2, 4, 6, 8), (0, 3, 5, 7), (0, 1, 2), (0,)
"""What a customer's busiest system calls, what its others call, what small customers' systems call, and people."""
_SMALL_PLANS = frozenset({"team", "free"})
_PLANS = frozenset({"team", "free"})
_SMALL_CALLS = (0, 1, 2, 3)
"""What the systems of small customers call."""
_STAFF_CALLS = (0, 1)
"""What people call by hand: tracking and rates."""
_COMPANIES = {company.external_id: company for company in COMPANIES}
_INCIDENT_SHARE = 0.68
_LIMITED_SHARE = 0.05
_STRANGER_SHARE = 0.008


@dataclass(frozen=True, slots=True)
class Cell:
    """An endpoint (by its place in `ENDPOINTS`), a user's external id, a status, and how it usually goes."""

    endpoint: int
    user: str
    account: str
    status: int
    per_minute: float
    """Calls on an average minute of today."""
    median_ms: float
    by_hand: bool = False


def cells() -> tuple[Cell, ...]:
    """Return every cell there may be, in a fixed order."""
    return tuple(cell for person in people() for cell in _of(person)) + tuple(
        Cell(place, STRANGER, "", HTTPStatus.UNAUTHORIZED, 60 * CALM * _STRANGER_SHARE / 2, _REFUSED_MS)
        for place in (0, 1)
    )


def _of(person: Person) -> Iterator[Cell]:
    everyone = sum(each.weight for each in people())
    places = _places(person)
    shares = sum(ENDPOINTS[place].share for place in places)
    for place in places:
        it = ENDPOINTS[place]
        rate = 60 * CALM * person.weight / everyone * it.share / shares
        limited = _LIMITED_SHARE if person.external_id == POWER_USER and place < 2 else 0.0
        for status, share in it.outcomes:
            usual = rate * share * (1 - limited)
            by_hand = person.email is not None
            yield Cell(place, person.external_id, person.account_id, status, usual, it.median_ms, by_hand)
        if limited:
            status = HTTPStatus.TOO_MANY_REQUESTS
            yield Cell(place, person.external_id, person.account_id, status, rate * limited, _REFUSED_MS)


def _places(person: Person) -> tuple[int, ...]:
    """Return which endpoints someone calls."""
    company = _COMPANIES[person.account_id]
    if person.email:
        return _STAFF
    if company.plan in _SMALL_PLANS:
        return _SMALL
    return _STORE if person.name == company.keys[0] else _DESK


@dataclass(frozen=True, slots=True)
class Calls:
    """What was called in a row of steps: in the step `steps[i]` the cell `cells[i]` had `calls[i]` calls."""

    steps: Ints
    cells: Ints
    calls: Ints
    latency: Buckets


def calls(now: datetime, start: datetime, steps: int, length: timedelta) -> Calls:
    """Return the calls of `steps` steps from `start` on, seen from `now`."""
    everything = cells()
    times = [start + length * step for step in range(steps)]
    drawn = np.zeros((steps, len(everything)), dtype=np.int64)
    for step, at in enumerate(times):
        luck = np.random.default_rng([_SEED, int(at.timestamp()), int(length.total_seconds())])
        drawn[step] = luck.poisson(_expected(everything, at, length, now, luck))
    at_step, of_cell = np.nonzero(drawn)
    number = drawn[at_step, of_cell]
    released = now - timedelta(days=story.RELEASE_DAYS_AGO)
    before = np.array([at < released for at in times])[at_step]
    luck = np.random.default_rng([_SEED, int(start.timestamp())])
    return Calls(at_step, of_cell, number, _Shapes(everything).spread(of_cell, number, before, luck))


def _expected(
    everything: tuple[Cell, ...], at: datetime, length: timedelta, now: datetime, luck: np.random.Generator
) -> Floats:
    """Return the calls to expect of each cell in a step."""
    minutes = length / timedelta(minutes=1)
    days_ago = (now - at) / timedelta(days=1)
    levels = {account: story.level(account, days_ago) for account in {cell.account for cell in everything}}
    moods = {account: luck.lognormal(0, 0.09) for account in sorted(levels)}
    away = _away(at, length, now)
    rates = [cell.per_minute * levels[cell.account] * moods[cell.account] * _outage(cell, away) for cell in everything]
    return np.array(rates) * minutes * story.busyness(at + length / 2)


def _away(at: datetime, length: timedelta, now: datetime) -> float | None:
    """Return the share of a step that the carrier was away for in the incident; None outside of it."""
    start, end = story.INCIDENT.within(now)
    overlap = min(end, at + length) - max(start, at)
    return overlap / length if overlap > timedelta() else None


def _outage(cell: Cell, away: float | None) -> float:
    """Return how much more or less often a cell of tracking is called while the carrier is away."""
    if away is None or ENDPOINTS[cell.endpoint].route != _CODE or cell.user == STRANGER:
        return 1.0
    usual = dict(ENDPOINTS[cell.endpoint].outcomes)
    failing = usual[HTTPStatus.SERVICE_UNAVAILABLE]
    share = failing + away * (_INCIDENT_SHARE - failing)
    if cell.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return share / failing
    return (1 - share) / (1 - failing)


class _Shapes:
    """How each cell's calls spread over the latency buckets: a lognormal around its median."""

    def __init__(self, everything: tuple[Cell, ...]) -> None:
        offsets = np.arange(-_REACH, _REACH + 1)
        edges = (offsets + 0.5) * math.log(2) / 16 / _SIGMA
        self._cumulative = np.array([0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges])
        self._cumulative[-1] = 1.0
        self._middles = np.array([index_of(cell.median_ms / 1000) - ZERO for cell in everything])
        self._labels = np.array([ENDPOINTS[cell.endpoint].route == _LABELS for cell in everything])
        self._quicker = round(16 * math.log2(story.SLOWER_LABELS))

    def spread(
        self, of_cell: Ints, number: Ints, before_release: NDArray[np.bool_], luck: np.random.Generator
    ) -> Buckets:
        """Return numbers of calls by latency bucket."""
        upto = np.floor(number[:, None] * self._cumulative[None, :] + luck.random(len(number))[:, None])
        upto = np.minimum(upto, number[:, None]).astype(np.int64)
        upto[:, -1] = number
        counts = np.diff(upto, axis=1, prepend=0)
        owners, places = np.nonzero(counts)
        middles = self._middles[of_cell] - np.where(before_release & self._labels[of_cell], self._quicker, 0)
        columns = np.clip(middles[owners] + places - _REACH, 0, WIDTH - 1)
        return Buckets(owners, columns, counts[owners, places])
