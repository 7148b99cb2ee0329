"""Both ways of counting against an oracle, and under many hands at once."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trackside.redis import connect
from trackside_modules.usage.quota import counters
from trackside_modules.usage.quota.counters import Counters, untold_key
from trackside_modules.usage.quota.rules import LEVELS, Limit

SECOND = 10**6
MONDAY = 1_781_481_600  # 15 June 2026, 00:00 UTC
WINDOW = Limit(1, 1, "api", "default", "user", "checks", "window", 10, 60)
RATE = Limit(2, 1, "api", "default", "user", "checks", "gcra", 3, 7, burst=5)


@dataclass
class Time:
    now: int = MONDAY * SECOND

    def __call__(self) -> int:
        return self.now


@dataclass
class Oracle:
    """What the two algorithms are, written without Redis."""

    limit: Limit
    used: dict[tuple[str, int], int] = field(default_factory=dict)
    full_at: dict[str, int] = field(default_factory=dict)

    def take(self, member: str, cost: int, now: int) -> tuple[bool, int]:
        """Return whether `cost` is granted, and what is left after."""
        return self._window(member, cost, now) if self.limit.kind == "window" else self._gcra(member, cost, now)

    def _window(self, member: str, cost: int, now: int) -> tuple[bool, int]:
        place = (member, self.limit.window_at(now // SECOND))
        used = self.used.get(place, 0)
        granted = used + max(cost, 1) <= self.limit.amount
        if granted:
            self.used[place] = used + cost
        return granted, self.limit.amount - self.used.get(place, 0)

    def _gcra(self, member: str, cost: int, now: int) -> tuple[bool, int]:
        step, burst = self.limit.interval, self.limit.burst * self.limit.interval
        arrival = min(max(self.full_at.get(member, 0), now), now + burst)
        granted = arrival + max(cost, 1) * step - now <= burst
        if granted and cost:
            arrival += cost * step
            self.full_at[member] = arrival
        return granted, (burst - (arrival - now)) // step


@pytest.fixture
def client(redis_url: str, redis_client: redis.Redis) -> "redis.Redis":
    return connect(redis_url)


steps = st.lists(
    st.tuples(st.sampled_from("uv"), st.integers(0, 12), st.integers(-SECOND, 90 * SECOND)), min_size=1, max_size=40
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["window", "gcra"]),
    amount=st.integers(1, 12),
    seconds=st.integers(1, 120),
    burst=st.integers(1, 12),
    steps=steps,
)
def test_every_answer_is_the_oracles(
    client: "redis.Redis", kind: str, amount: int, seconds: int, burst: int, steps: list[tuple[str, int, int]]
) -> None:
    client.flushall()
    limit = replace(WINDOW, kind=kind, amount=amount, seconds=seconds, burst=burst)
    time, oracle = Time(), Oracle(limit)
    mine = Counters(client, time)
    for member, cost, passes in steps:
        time.now += passes  # back too: clocks do jump
        found = mine.take(limit, member, cost)
        assert (found.allowed, found.remaining) == oracle.take(member, cost, time.now)
        assert found.used + found.remaining == limit.capacity


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(costs=st.lists(st.integers(0, 15), min_size=1, max_size=40), kind=st.sampled_from(["window", "gcra"]))
def test_each_level_is_told_once_in_a_window_when_it_is_reached(
    client: "redis.Redis", costs: list[int], kind: str
) -> None:
    client.flushall()
    limit = replace(WINDOW, amount=40, kind=kind, burst=40, seconds=3600)
    mine = Counters(client, Time())
    found = [mine.take(limit, "u1", cost) for cost in costs]
    used = found[-1].used
    was_refused = any(not each.allowed and cost for each, cost in zip(found, costs, strict=True))
    told = [int(each.split()[2]) for each in client.lrange(untold_key(1), 0, -1)]
    wanted = [level for level in LEVELS if used * 100 >= level * 40]
    assert sorted(told) == sorted({*wanted, *([100] if was_refused else [])})
    assert sum(each.told for each in found) == len(told)


def test_a_window_begins_anew_at_its_boundary_and_not_before(client: "redis.Redis") -> None:
    time = Time(MONDAY * SECOND + 59 * SECOND + 999_999)
    mine = Counters(client, time)
    assert mine.take(WINDOW, "u1", 10).allowed
    refused = mine.take(WINDOW, "u1", 1)
    assert (refused.allowed, refused.retry_after) == (False, pytest.approx(1e-6, abs=1e-6))
    time.now += 1
    assert mine.take(WINDOW, "u1", 1).remaining == 9


@pytest.mark.parametrize(
    ("seconds", "start"), [(60, MONDAY), (3600, MONDAY), (86400, MONDAY), (7 * 86400, MONDAY), (900, MONDAY)]
)
def test_windows_are_aligned_to_utc_and_weeks_begin_on_mondays(seconds: int, start: int) -> None:
    assert WINDOW.window_at(start + seconds - 0.001, seconds) == start
    assert WINDOW.window_at(start - 0.001, seconds) == start - seconds


def test_a_burst_is_granted_at_once_and_then_the_rate(client: "redis.Redis") -> None:
    time = Time()
    mine = Counters(client, time)
    assert [mine.take(RATE, "u1", 1).allowed for _ in range(6)] == [True] * 5 + [False]
    assert mine.take(RATE, "u1", 1).retry_after == pytest.approx(7 / 3, abs=1e-5)
    time.now += RATE.interval
    assert [mine.take(RATE, "u1", 1).allowed for _ in range(2)] == [True, False]
    time.now += 3600 * SECOND
    assert mine.take(RATE, "u1", 0).remaining == 5


def test_a_rate_is_never_exceeded_however_often_one_asks(client: "redis.Redis") -> None:
    time = Time()
    mine = Counters(client, time)
    granted = 0
    for _ in range(400):
        granted += mine.take(RATE, "u1", 1).allowed
        time.now += SECOND // 10
    assert 5 + 40 * 3 // 7 - 1 <= granted <= 5 + 40 * 3 // 7 + 1


def test_a_look_changes_nothing(client: "redis.Redis") -> None:
    mine = Counters(client, Time())
    for limit in (WINDOW, RATE):
        assert mine.take(limit, "u1", 0).remaining == limit.capacity
    assert client.keys() == []


def test_what_was_used_before_one_was_known_moves_along(client: "redis.Redis") -> None:
    mine = Counters(client, Time())
    for limit in (WINDOW, RATE):
        mine.take(limit, "xabc", 3, stranger=True)
        assert mine.take(limit, "u1", 0, alias="xabc").used == 3
        assert mine.take(limit, "u1", 1, alias="xabc").used == 4
        assert mine.take(limit, "u1", 1, alias="xabc").used == 5
        assert mine.take(limit, "xabc", 0, stranger=True).used == 0


def test_unknown_ids_get_no_counters_without_end(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_TAKE", counters._TAKE.replace(">= 100000", ">= 3"))
    mine = Counters(client, Time())
    assert [mine.take(WINDOW, f"x{n}", 1, stranger=True).full for n in range(5)] == [False] * 3 + [True] * 2
    assert not mine.take(WINDOW, "u1", 1).full
    assert not mine.take(WINDOW, "x1", 1, stranger=True).full


def test_everything_in_redis_goes_by_itself(client: "redis.Redis") -> None:
    mine = Counters(client)
    for _ in range(12):
        mine.take(WINDOW, "u1", 1)
        mine.take(RATE, "u1", 1)
    keys = [key for key in client.scan_iter() if not key.endswith(b"untold")]
    assert len(keys) >= 6
    assert all(0 < client.ttl(key) <= 3720 for key in keys)


def test_another_limit_of_the_same_policy_counts_by_itself(client: "redis.Redis") -> None:
    mine = Counters(client, Time())
    assert mine.take(WINDOW, "u1", 10).allowed
    assert mine.take(replace(WINDOW, id=9), "u1", 10).allowed
    assert mine.take(replace(WINDOW, env_id=2), "u1", 10).allowed


def _hammer(url: str, limit: Limit, times: int) -> int:
    mine = Counters(connect(url))
    return sum(mine.take(limit, "u1", 1).allowed for _ in range(times))


@pytest.mark.parametrize("limit", [replace(WINDOW, amount=250, seconds=86400), replace(RATE, seconds=86400, burst=250)])
def test_many_threads_and_processes_are_granted_exactly_the_limit(redis_url: str, client: Any, limit: Limit) -> None:
    with multiprocessing.get_context("fork").Pool(2) as processes:
        others = processes.starmap_async(_hammer, [(redis_url, limit, 100)] * 2)
        with ThreadPoolExecutor(8) as threads:
            ours = list(threads.map(lambda _: _hammer(redis_url, limit, 25), range(8)))
        granted = sum(ours) + sum(others.get(timeout=180))
    assert granted == 250
    told = [int(each.split()[2]) for each in client.lrange(untold_key(1), 0, -1)]
    assert told == [80, 90, 100]
