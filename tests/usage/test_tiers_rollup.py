"""Whatever comes when, and whatever the roll-up and the retention have done: the tiers add up to what was accepted."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Subquery, select
from sqlalchemy.orm import Session

from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.usage.folding import fold
from trackside_modules.usage.ingest.batch import Batch, Calls, Subject
from trackside_modules.usage.models.names import UNMATCHED
from trackside_modules.usage.storage import adding, retention, rollup, tiers
from trackside_modules.usage.storage.histogram import merge, pack, slow, unpack
from trackside_modules.usage.storage.reach import unite

_names = count()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
ROUTES, USERS, STATUSES = ("/a", UNMATCHED), ("", "ada", "bob"), (200, 403, 404, 500)
AGES = (0, 1, 50, 60, 61, 150, 1440, 1500, 2 * 1440, 6 * 1440, 8 * 1440, 31 * 1440, 200 * 1440, 398 * 1440)
"""Minutes before now."""

calls = st.fixed_dictionaries(
    {
        "ago": st.sampled_from(AGES),
        "route": st.sampled_from(ROUTES),
        "user": st.sampled_from(USERS),
        "status": st.sampled_from(STATUSES),
        "latency": st.dictionaries(st.sampled_from((-60, -1, 0, 40)), st.integers(1, 200), min_size=1, max_size=2),
    }
)
batch = st.tuples(st.just("send"), st.lists(calls, min_size=1, max_size=5))
step = st.one_of(
    batch,
    batch,
    st.tuples(st.just("fold"), st.just(None)),
    st.tuples(st.just("roll"), st.integers(1, 9)),
    st.tuples(st.just("tidy"), st.just(None)),
    st.tuples(st.just("wait"), st.sampled_from((5, 70, 1440, 5 * 1440, 40 * 1440, 300 * 1440))),
)


class World:
    """Trackside on a clock that can be turned, and what it must hold."""

    def __init__(self, runtime: Runtime, clock: FrozenClock) -> None:
        self.runtime, self.clock = runtime, clock
        self.sent: list[tuple[datetime, Calls]] = []
        with runtime.database.pool.connection() as connection:
            tables = "usage_inbox usage_batch usage_dirty usage_horizon " + " ".join(
                table for family in retention.TABLES.values() for table in family
            )
            connection.execute("truncate " + ", ".join(tables.split()))  # type: ignore[arg-type]

    def send(self, given: list[dict[str, Any]]) -> None:
        made = [self._calls(it) for it in given]
        self.sent += [(datetime.fromtimestamp(it.minute * 60, UTC), it) for it in made]
        with self.runtime.database.pool.connection() as connection:
            connection.execute(
                "insert into usage_inbox (env_id, batch, received_at, body) values (1, %s, %s, %s)",
                (str(next(_names)).encode(), self.clock.now(), Batch(made, [], []).pack()),
            )

    def _calls(self, it: dict[str, Any]) -> Calls:
        minute = int(self.clock.now().timestamp()) // 60 - it["ago"]
        subject = Subject("shop", "GET", it["route"], it["status"], it["user"], "")
        total = sum(it["latency"].values())
        return Calls(subject, minute, total, total * 7, total * 3, pack(it["latency"]), it["status"] == 500)

    def do(self, what: str, given: Any) -> None:
        if what == "send":
            self.send(given)
        elif what == "fold":
            fold.run(self.runtime, 1)
        elif what == "roll":
            for dirty in rollup.due(self.runtime)[:given]:
                assert rollup.roll(self.runtime, dirty)
        elif what == "tidy":
            retention.run(self.runtime)
        else:
            self.clock.advance(timedelta(minutes=given))

    def settle(self) -> None:
        fold.run(self.runtime, 1)
        assert all(rollup.run(self.runtime, 60))

    def check(self) -> None:
        """Compare every family over ranges that the tiers still tell apart."""
        with self.runtime.database.sessions() as session:
            begin = self._borders()
            now = self.clock.now()
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            far = (midnight - 900 * DAY, midnight + DAY)
            spans: list[tuple[tiers.Unit, datetime, datetime]] = [("day", *far), ("day", midnight - 2 * DAY, far[1])]
            spans += [("day", start, start + DAY) for start in {self._day(at) for at, _ in self.sent}]
            spans += [("hour", max(begin[1], midnight - 60 * DAY), far[1]), ("minute", max(begin[0], far[0]), far[1])]
            ragged = max(begin[0], now - 3 * DAY - 7 * HOUR - timedelta(minutes=13))
            spans += [("day", ragged, now - timedelta(minutes=21)), ("hour", ragged, now)]
            for coarsest, start, end in spans:
                parts = tiers.parts(session, 1, start, end, coarsest)
                assert self._held(session, parts) == self._expected(start, end), (coarsest, start, end, parts)

    def _day(self, at: datetime) -> datetime:
        return at.replace(hour=0, minute=0, second=0, microsecond=0)

    def _borders(self) -> tuple[datetime, datetime]:
        with self.runtime.database.pool.connection() as connection:
            begin = adding.borders(connection)
        return adding.moment(begin.minutes), adding.moment(begin.hours)

    def _expected(self, start: datetime, end: datetime) -> list[dict[Any, Any]]:
        found: list[dict[Any, Any]] = [{}, {}, {}]
        for at, it in self.sent:
            if not start <= at < end:
                continue
            s = it.subject
            latency = unpack(it.latency)
            wrong = s.status in tiers.WRONG_STATUSES or s.route == UNMATCHED
            sorts = [it.calls * sort for sort in (400 <= s.status < 500, s.status >= 500, wrong)]
            who = {s.user} - {""}
            for family, key, rest in (
                (0, (s.route, s.user, s.status), [it.approximate]),
                (1, (s.route, s.status), [it.approximate, who]),
                (2, (s.user,), sorts),
            ):
                _add(found[family], key, [it.calls, it.micros, slow(latency)], it.longest, latency, rest)
        return found

    def _held(self, session: Session, parts: list[tiers.Part]) -> list[dict[Any, Any]]:
        endpoints = dict(session.connection().exec_driver_sql("select id, route from usage_endpoint").all())
        users = dict(session.connection().exec_driver_sql("select id, external_id from customer_user").all())
        found: list[dict[Any, Any]] = [{}, {}, {}]
        for it in _rows(session, tiers.by_user(1, parts)):
            key = (endpoints[it.endpoint_id], users[it.user_id], it.status)
            _add(found[0], key, [it.calls, it.micros, it.slow], it.longest, unpack(it.latency), [it.approximate])
        for it in _rows(session, tiers.by_endpoint(1, parts)):
            who = {users[user] for user in unite([it.users])}
            rest = [it.approximate, who]
            key = (endpoints[it.endpoint_id], it.status)
            _add(found[1], key, [it.calls, it.micros, it.slow], it.longest, unpack(it.latency), rest)
        for it in _rows(session, tiers.of_user(1, parts)):
            rest = [it.client_errors, it.server_errors, it.wrong_turns]
            key = (users[it.user_id],)
            _add(found[2], key, [it.calls, it.micros, it.slow], it.longest, unpack(it.latency), rest)
        return found


def _rows(session: Session, rows: Subquery) -> list[Any]:
    return list(session.execute(select(rows)).all())


def _add(
    into: dict[Any, Any], key: Any, sums: list[int], longest: int, latency: dict[int, int], rest: list[Any]
) -> None:
    known = into.setdefault(key, {"sums": Counter(), "longest": 0, "latency": {}, "rest": None})
    known["sums"].update(dict(enumerate(sums)))
    known["longest"] = max(known["longest"], longest)
    merge(known["latency"], latency)
    known["rest"] = rest if known["rest"] is None else [_both(a, b) for a, b in zip(known["rest"], rest, strict=True)]


def _both(first: Any, second: Any) -> Any:
    return first | second if isinstance(first, bool | set) else first + second


@pytest.fixture
def world(runtime: Runtime, clock: FrozenClock) -> Callable[[], World]:
    """Make an empty world on the evening before a new year."""

    def make() -> World:
        clock.advance(datetime(2026, 12, 31, 22, 57, tzinfo=UTC) - clock.now())
        return World(runtime, clock)

    return make


@given(steps=st.lists(step, min_size=4, max_size=24))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_range_adds_up_whatever_was_rolled_or_dropped(
    world: Callable[[], World], steps: list[tuple[str, Any]]
) -> None:
    it = world()
    for place, (what, given_) in enumerate(steps):
        it.do(what, given_)
        if place % 6 == 5:
            fold.run(it.runtime, 1)
            it.check()
    it.settle()
    it.check()
    it.do("tidy", None)
    it.check()


def late(ago: int, user: str = "ada") -> dict[str, Any]:
    return {"ago": ago, "route": "/a", "user": user, "status": 200, "latency": {0: 2, -1: 1}}


def stored(it: World) -> list[Any]:
    """Return all rows of all tiers."""
    with it.runtime.database.pool.connection() as connection:
        return [
            connection.execute(f"select * from {table} order by 1, 2, 3, 4").fetchall()  # type: ignore[arg-type]
            for family in retention.TABLES.values()
            for table in (*family, "usage_dirty")
        ]


def test_rolling_twice_changes_nothing(world: Callable[[], World]) -> None:
    it = world()
    it.send([late(ago) for ago in AGES])
    it.settle()
    before = stored(it)
    with it.runtime.database.pool.connection() as connection:
        connection.execute(
            "insert into usage_dirty (env_id, tier, at, number) select distinct 1, 'hour', at, 9 from usage_hour"
            " union select distinct 1, 'day', at, 9 from usage_day on conflict do nothing"
        )
    it.settle()
    assert stored(it) == before


def test_minutes_by_endpoint_are_made_where_an_older_version_left_none(world: Callable[[], World]) -> None:
    it = world()
    it.send([late(ago) for ago in (0, 1, 90)])
    fold.run(it.runtime, 1)
    before = stored(it)
    with it.runtime.database.pool.connection() as connection:
        connection.execute("truncate usage_endpoint_minute")
        connection.execute(
            "insert into usage_dirty (env_id, tier, at, number)"
            " select distinct 1, 'minute', date_trunc('hour', minute), 0 from usage_minute"
        )
    for dirty in rollup.due(it.runtime):
        if dirty.tier == "minute":
            assert rollup.roll(it.runtime, dirty)
    assert stored(it) == before
    it.check()


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_before(place: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let the process die before its statement number `place`, counted from 1; yield the statements done."""
    done: list[str] = []
    execute = psycopg.Connection.execute

    def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if len(done) + 1 == place:
            raise Killed
        done.append(str(query))
        return execute(self, query, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Connection, "execute", counted)
        yield done


def every_death(it: World, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Do `work`, dying before its first statement, then its second, and so on, until it gets through."""
    for place in count(1):
        try:
            with killed_before(place, monkeypatch):
                work()
        except Killed:
            yield place
        else:
            return


def test_a_fold_killed_between_any_two_statements_leaves_all_or_nothing(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = world()
    it.send([late(ago) for ago in AGES])
    it.settle()
    it.clock.advance(20 * DAY)
    it.do("tidy", None)
    deaths = 0
    it.send([late(ago, user) for ago in AGES for user in ("ada", "bob")])
    before = stored(it)
    for _ in every_death(it, lambda: fold.run(it.runtime, 1), monkeypatch):
        deaths += 1
        if stored(it) != before:
            break  # it was done before it died
    assert deaths > 25
    it.settle()
    it.check()


def test_a_roll_up_killed_between_any_two_statements_leaves_all_or_nothing(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = world()
    it.send([late(ago) for ago in (1, 61, 1500)])
    fold.run(it.runtime, 1)
    deaths = 0
    for deaths in every_death(it, lambda: list(rollup.run(it.runtime, 60)), monkeypatch):
        if deaths % 5 == 0:
            it.check()
    assert deaths > 30
    it.check()


def test_a_retention_killed_between_any_two_statements_loses_nothing(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = world()
    it.send([late(ago) for ago in AGES[::3]])
    it.settle()
    it.clock.advance(9 * DAY)
    for deaths in every_death(it, lambda: retention.run(it.runtime), monkeypatch):
        if deaths % 4 == 1:
            it.send([late(8 * 1440)])
            it.settle()
            it.check()
    it.check()


def test_a_fold_in_the_middle_of_a_roll_up_is_not_lost(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = world()
    it.send([late(70)])
    fold.run(it.runtime, 1)
    [dirty] = [each for each in rollup.due(it.runtime) if each.tier == "hour"]
    read = rollup.read

    def slowly(*args: Any) -> Any:
        found = read(*args)
        it.send([late(70), late(71, "bob")])
        fold.run(it.runtime, 1)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(rollup, "PATIENCE", DAY)
        patched.setattr(rollup, "read", slowly)
        assert not rollup.roll(it.runtime, dirty)
    it.check()
    assert rollup.roll(it.runtime, dirty)
    it.settle()
    it.check()


def test_a_bucket_that_changes_all_the_time_gets_its_turn(
    world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = world()
    it.send([late(150)])
    fold.run(it.runtime, 1)
    [dirty] = [each for each in rollup.due(it.runtime) if each.tier == "hour"]
    read = rollup.read

    def slowly(*args: Any) -> Any:
        found = read(*args)
        it.send([late(150)])
        fold.run(it.runtime, 1)  # does nothing while the roll-up holds the fold's lock
        return found

    with monkeypatch.context() as patched:
        patched.setattr(rollup, "read", slowly)
        assert rollup.roll(it.runtime, dirty)
    it.settle()
    it.check()


def test_minutes_are_kept_while_an_hour_is_still_to_be_made_of_them(world: Callable[[], World]) -> None:
    it = world()
    it.send([late(1440)])
    fold.run(it.runtime, 1)
    it.clock.advance(30 * DAY)
    assert not [name for name in retention.run(it.runtime) if "20261230" in name]
    it.check()
    it.settle()
    assert "usage_minute_20261230" in retention.run(it.runtime)
    it.check()
