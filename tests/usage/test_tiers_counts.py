"""Counts as columns: the rows of the three families are what a plain loop makes of the same calls."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trackside_modules.usage.storage.counts import LARGEST, Counts, Rows, by_endpoint, by_user, of_user, unpacked
from trackside_modules.usage.storage.histogram import HIGHEST, ZERO, pack, slow, unpack

call = st.fixed_dictionaries(
    {
        "at": st.sampled_from((0, 60, 3600, 7200)),
        "endpoint": st.integers(1, 3),
        "user": st.integers(0, 3),
        "status": st.sampled_from((200, 404, 429, 500)),
        "micros": st.integers(0, 10**9),
        "approximate": st.integers(0, 1),
        "latency": st.dictionaries(st.integers(ZERO, HIGHEST), st.integers(1, 300), min_size=1, max_size=4),
    }
)
NUMBERS = ("at", "endpoint", "user", "status", "micros", "approximate")


def counts_of(calls: list[dict[str, Any]]) -> Counts:
    columns = {name: np.array([it[name] for it in calls], dtype=np.int64) for name in NUMBERS}
    total = np.array([sum(it["latency"].values()) for it in calls], dtype=np.int64)
    packs = [pack(it["latency"]) for it in calls]
    return Counts(**columns, calls=total, longest=columns["micros"], latency=unpacked(packs))


def told(rows: Rows) -> dict[tuple[int, ...], tuple[Any, ...]]:
    keys = list(zip(*(key.tolist() for key in rows.keys), strict=True))
    assert len(set(keys)) == len(keys)
    histograms = [unpack(packed) for packed in rows.latency.pack(len(rows))] if keys else []
    sums = list(zip(*(column.tolist() for column in rows.sums), rows.longest.tolist(), strict=True))
    return dict(zip(keys, zip(sums, histograms, strict=True), strict=True))


def looped(calls: list[dict[str, Any]], *names: str) -> dict[tuple[int, ...], list[dict[str, Any]]]:
    groups: dict[tuple[int, ...], list[dict[str, Any]]] = defaultdict(list)
    for it in calls:
        groups[tuple(it[name] for name in names)].append(it)
    return groups


def summed(group: list[dict[str, Any]]) -> tuple[tuple[int, ...], dict[int, int]]:
    latency: Counter[int] = sum((Counter(it["latency"]) for it in group), Counter())
    micros = [it["micros"] for it in group]
    return (latency.total(), sum(micros), slow(latency), max(micros)), dict(latency)


@given(st.lists(call, max_size=12))
def test_rows_of_every_family_are_sums_of_the_calls(calls: list[dict[str, Any]]) -> None:
    counts = counts_of(calls)
    detail = looped(calls, "at", "endpoint", "user", "status")
    assert told(by_user(counts)) == {key: summed(group) for key, group in detail.items()}
    groups = looped(calls, "at", "endpoint", "status")
    rows = by_endpoint(counts)
    assert told(rows) == {key: summed(group) for key, group in groups.items()}
    assert rows.users is not None
    expected = [{it["user"] for it in groups[key]} - {0} for key in sorted(groups)]
    assert [set(known) for known in rows.users] == expected


@given(st.lists(call, max_size=12))
def test_errors_and_wrong_turns_of_a_user_are_counted(calls: list[dict[str, Any]]) -> None:
    rows = told(of_user(counts_of(calls), nowhere=[2]))
    for key, group in looped(calls, "at", "user").items():
        (total, micros, late, client, server, wrong, longest), latency = rows[key]
        assert ((total, micros, late, longest), latency) == summed(group)
        by = {it: sum(it_["latency"].values()) for it, it_ in enumerate(group)}
        assert client == sum(by[n] for n, it in enumerate(group) if 400 <= it["status"] < 500)
        assert server == sum(by[n] for n, it in enumerate(group) if it["status"] >= 500)
        assert wrong == sum(by[n] for n, it in enumerate(group) if it["status"] == 429 or it["endpoint"] == 2)


@given(st.lists(call, max_size=9), st.integers(0, 7300))
def test_rows_are_left_out_with_their_histograms(calls: list[dict[str, Any]], since: int) -> None:
    counts = counts_of(calls)
    kept = counts_of([it for it in calls if it["at"] >= since])
    assert told(by_user(counts.where(counts.at >= since))) == told(by_user(kept))


def test_sums_stop_where_postgresql_could_not_hold_twice_as_much() -> None:
    calls = [{"at": 0, "endpoint": 1, "user": 1, "status": 200, "approximate": 0, "latency": {0: 1}}] * 3
    rows = by_user(counts_of([{**it, "micros": LARGEST - 1} for it in calls]))
    assert rows.sums[1].tolist() == [LARGEST]
