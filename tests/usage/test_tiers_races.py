"""Folds, roll-ups and the retention at the same time: nothing is lost, nothing counted twice, nobody waits for ever."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from psycopg import errors
from sqlalchemy import func, select

from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest.batch import Batch, Calls, Subject
from trackside_modules.usage.storage import retention, rollup, tiers
from trackside_modules.usage.storage.histogram import pack

DAYS = (0, 1, 5, 6, 7, 8, 9, 40)
BATCHES = 20
_names = count()


def send(runtime: Runtime, now: datetime, luck: Random) -> int:
    """Put a batch into the inbox, with a call in some past hours; return how many calls."""
    minute = int(now.timestamp()) // 60
    calls = [
        Calls(
            Subject("shop", "GET", f"/r{luck.randrange(3)}", 200, f"u{luck.randrange(4)}", ""),
            minute - luck.choice(DAYS) * 1440 - luck.choice((61, 62, 125)),
            2,
            9,
            5,
            pack({0: 2}),
            approximate=False,
        )
        for _ in range(6)
    ]
    with runtime.database.pool.connection() as connection:
        connection.execute(
            "insert into usage_inbox (env_id, batch, received_at, body) values (1, %s, %s, %s)",
            (f"race {next(_names)}".encode(), now, Batch(calls, [], []).pack()),
        )
    return sum(it.calls for it in calls)


def sums(runtime: Runtime, now: datetime) -> list[int]:
    """Return all calls as each family tells them, none of their partitions having been dropped meanwhile."""
    while True:
        there = partitions(runtime)
        found = sums_now(runtime, now)
        # a snapshot holds rows, not tables: what is dropped is gone for whoever began to read before, too
        if there <= partitions(runtime):
            return found


def partitions(runtime: Runtime) -> set[str]:
    """Return the names of every partition that is there."""
    with runtime.database.pool.connection() as connection:
        return {name for (name,) in connection.execute("select inhrelid::regclass::text from pg_inherits")}


def sums_now(runtime: Runtime, now: datetime) -> list[int]:
    """Return all calls as each family tells them."""
    with runtime.database.sessions() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        parts = tiers.parts(session, 1, midnight - timedelta(days=500), midnight + timedelta(days=1))
        families = (tiers.by_user(1, parts), tiers.by_endpoint(1, parts), tiers.of_user(1, parts))
        return [int(session.scalar(select(func.coalesce(func.sum(it.c.calls), 0))) or 0) for it in families]


def test_folds_and_roll_ups_and_the_retention_at_once_agree_with_what_was_sent(
    runtime: Runtime, clock: FrozenClock
) -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    clock.advance(now - clock.now())
    luck, sent, over = Random(4), 0, threading.Event()
    failures: list[BaseException] = []

    def again(work: Callable[[], object]) -> None:
        while not over.is_set():
            try:
                work()
            except errors.DeadlockDetected:  # of partitions being made and dropped; the job would come again
                continue
            except BaseException as error:
                failures.append(error)
                return

    works: list[Callable[[], object]] = [lambda: fold.run(runtime, 1), lambda: retention.run(runtime)]
    works += [lambda: list(rollup.run(runtime, 1))] * 2
    threads = [threading.Thread(target=again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for _ in range(BATCHES):
        sent += send(runtime, now, luck)
        seen = sums(runtime, now)
        assert len(set(seen)) == 1
        assert seen[0] <= sent
    over.set()
    for thread in threads:
        thread.join(180)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)
    fold.run(runtime, 1)
    assert sums(runtime, now) == [sent] * 3
    list(rollup.run(runtime, 180))
    retention.run(runtime)
    assert rollup.due(runtime) == []
    assert sums(runtime, now) == [sent] * 3


def test_a_day_is_not_made_while_an_hour_of_it_waits_however_it_came_to_be_due(
    runtime: Runtime, clock: FrozenClock
) -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    clock.advance(now - clock.now())
    luck, sent = Random(9), 0
    sent += send(runtime, now, luck)
    fold.run(runtime, 1)
    list(rollup.run(runtime, 180))
    day = now.replace(hour=0, minute=0) - timedelta(days=5)
    for tier in ("hour", "day"):
        with runtime.database.pool.connection() as connection:
            at = day.replace(hour=11) if tier == "hour" else day
            mark = "insert into usage_dirty (env_id, tier, at, number) values (1, %s, %s, 7)"
            connection.execute(mark, (tier, at))
    found_due_before = rollup.Dirty(1, "day", day, 7)
    assert not rollup.roll(runtime, found_due_before)
    list(rollup.run(runtime, 180))
    assert rollup.due(runtime) == []
    assert sums(runtime, now) == [sent] * 3
