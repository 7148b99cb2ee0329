"""What pages remember of hours, days and weeks: the same figures as from the tiers alone, whatever changes."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, true, update
from sqlalchemy.orm import Session

from trackside.runtime import Runtime
from trackside_modules.usage import jobs
from trackside_modules.usage.folding import seen
from trackside_modules.usage.ingest.batch import Batch, Failure, Subject
from trackside_modules.usage.models import (
    UsageCrowd,
    UsageDirty,
    UsageEndpoint,
    UsageEndpointMinute,
    UsageErrorSum,
    UsageFailure,
    UsageHorizon,
    UsageMinute,
    UsagePiece,
    UsageRemembered,
    UsageSum,
    UsageTurn,
)
from trackside_modules.usage.queries import Scope, endpoints, figures, people
from trackside_modules.usage.queries.window import Window, between, window
from trackside_modules.usage.reports import error_groups, failing, wrong_turns
from trackside_modules.usage.reports.error_groups import Wanted
from trackside_modules.usage.storage import (
    adding,
    closed,
    crowds,
    memories,
    memory,
    minutes,
    pulse,
    rollup,
    tiers,
    turns,
)
from trackside_modules.usage.storage.counts import LARGEST, Counts, unpacked
from trackside_modules.usage.storage.histogram import pack
from trackside_modules.usage.storage.tiers import Part

NOW = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
SPANS = [
    *(window(name, NOW) for name in ("6h", "24h", "7d", "30d", "13mo")),
    between(NOW - timedelta(days=23, minutes=17), NOW - timedelta(days=2, hours=3), NOW),
]


@pytest.fixture
def counted(session: Session, history: Callable[..., None]) -> Session:
    """Count calls of five weeks of two services, some users among them unknown; return the session."""
    chance = random.Random(11)
    made = []
    for _ in range(300):
        at = NOW - timedelta(minutes=chance.randrange(1, 5 * 7 * 24 * 60))
        status = chance.choice([200, 200, 404, 401, 503])
        made.append((at, chance.choice(["shop", "billing"]), chance.choice([0, 1, 2, 3, 4, 5]), status))
    history(made, NOW)
    last = int(NOW.timestamp()) // 60
    told = [
        Failure(
            Subject("shop", "GET", "/orders", 500, f"user{chance.randrange(6)}", ""),
            last - chance.randrange(1, 5 * 7 * 24 * 60),
            f"Error{place % 3}",
            "",
            chance.randrange(1, 9),
        )
        for place in range(200)
    ]
    note(session, told)
    return session


def note(session: Session, told: list[Failure]) -> None:
    """Note failures as the fold does."""
    connection = session.connection().connection.driver_connection
    seen.note(connection, 1, [Batch([], [], [], failures=told)], NOW)  # type: ignore[arg-type]


def shown(session: Session) -> list[object]:
    """Return what pages show, as plain values."""
    one = session.scalars(select(UsageEndpoint.id).order_by(UsageEndpoint.id)).first()
    scopes = (Scope(1), Scope(1, "shop"), Scope(1, endpoint_id=one))
    return [plain(session, scope, span) for span in SPANS for scope in scopes] + [
        wrong(session, span) for span in SPANS
    ]


def wrong(session: Session, span: Window) -> list[object]:
    """Return the wrong turns and the failures of a span, of all and of some."""
    found: list[object] = []
    for service, sort in (("", None), ("shop", None), ("", "unauthorized")):
        it = wrong_turns.page(session, wrong_turns.Wanted(1, span.start, span.until, service, sort))  # type: ignore[arg-type]
        rows = {each.who: (each.calls, each.counts, each.first, each.last) for each in [*it.rows, it.unknown]}
        found.append((rows, it.counts, it.users))
        wanted = Wanted(1, span, service)
        found.append([(it.endpoint.id, it.calls, it.statuses, it.users) for it in failing.failing(session, wanted)])
        groups = error_groups.groups(session, wanted)[0]
        found.append([(it.error.id, it.calls, it.users, it.trend) for it in groups])
    return found


def plain(session: Session, scope: Scope, span: Window) -> list[object]:
    """Return the figures of a span of a scope."""
    each = figures.series(session, scope, span).items()
    listed = endpoints.listed(session, scope, span, compare=True)
    endpoints.add_users(session, scope, span, listed)
    endpoints.add_trend(session, scope, span, listed)
    them = people.crowd(session, scope, span)
    return [
        {at: (it.calls, it.client_errors, it.server_errors, it.slow, it.latency.tolist()) for at, it in each},
        [(it.endpoint.id, it.figures.calls, it.users, it.before, it.trend, it.quantiles) for it in listed],
        figures.summed(session, scope, span).latency.tolist(),
        (them.ids.tolist(), them.sums.tolist(), them.unknown),
    ]


def test_what_is_remembered_and_the_tiers_say_the_same(counted: Session) -> None:
    session = counted
    before = shown(session)
    assert memories.fill(session, 1, NOW) > 16 * 24
    assert memories.fill(session, 1, NOW) == 0
    assert shown(session) == before


def test_what_is_remembered_is_what_is_read(counted: Session) -> None:
    session = counted
    memories.fill(session, 1, NOW)
    plan = memory.plan(session, 1, NOW - timedelta(days=21), NOW, ("week", "day", "hour"))
    assert {unit: len(times) for unit, times in plan.kept.items()} == {"week": 2, "day": 6, "hour": 12}
    session.execute(update(UsageSum).values(calls=UsageSum.calls + 1000))
    session.execute(update(UsageFailure).values(calls=UsageFailure.calls + 1000))
    session.execute(update(UsageTurn).values(turns=turns.pack(np.array([[7, 1, 5000, 9, 9]]))))
    span = window("30d", NOW)
    assert figures.summed(session, Scope(1), span).calls > 10_000
    assert failing.failing(session, Wanted(1, span))[0].of(5) > 10_000
    assert turns.read(session, 1, span.start, NOW).turns.calls.max() > 10_000


def test_late_data_and_marks_are_seen_at_once(counted: Session) -> None:
    session = counted
    before = shown(session)
    memories.fill(session, 1, NOW)
    late = memory.floor("hour", NOW - timedelta(days=9))
    session.add(UsageDirty(env_id=1, tier="hour", at=late, number=3))
    session.flush()
    for unit in memory.STEPS:
        of = {"unit": unit, "at": memory.floor(unit, late)}
        session.execute(update(UsageSum).filter_by(**of).values(calls=999))
        session.execute(update(UsageCrowd).filter_by(**of).values(users=crowds.pack(*nobody())))
        session.execute(update(UsageFailure).filter_by(**of).values(calls=999))
        session.execute(update(UsageErrorSum).filter_by(**of).values(calls=999))
        session.execute(update(UsageTurn).filter_by(**of).values(turns=turns.pack(np.zeros((0, 5), dtype=np.int64))))
    assert shown(session) == before


def test_what_a_process_holds_of_buckets_is_read_anew_once_one_of_them_is_made_again(counted: Session) -> None:
    session, span = counted, window("30d", NOW)
    memories.fill(session, 1, NOW)

    def read() -> list[object]:
        crowd = people.crowd(session, Scope(1), span)
        return [figures.summed(session, Scope(1), span).calls, int(crowd.calls)]

    before = read()
    session.execute(update(UsageSum).values(calls=UsageSum.calls + 1000))
    session.execute(update(UsageCrowd).values(users=crowds.pack(*nobody())))
    assert read() == before
    connection = session.connection().connection.driver_connection
    pulse.forget(connection, 1, "hour", [memory.floor("hour", NOW - timedelta(days=3))])  # type: ignore[arg-type]
    memories.fill(session, 1, NOW)
    calls, people_calls = read()
    assert calls > before[0]
    assert people_calls < before[1]


def test_minutes_of_a_remembered_hour_are_held_until_it_is_marked(
    session: Session, history: Callable[..., None]
) -> None:
    ago = timedelta(hours=2, minutes=10)
    history([(NOW - ago, "shop", 1, 200), (NOW - timedelta(minutes=5), "shop", 1, 200)], NOW)
    memories.fill(session, 1, NOW)

    def read() -> int:
        return figures.total(figures.series(session, Scope(1), window("6h", NOW))).calls

    before = read()
    session.execute(update(UsageEndpointMinute).values(calls=UsageEndpointMinute.calls + 100))
    assert read() == before + 100, "the minute going on is read by every page, what is over is held"
    session.add(UsageDirty(env_id=1, tier="hour", at=memory.floor("hour", NOW - ago), number=3))
    session.flush()
    assert read() == before + 200


def test_a_shelf_lets_go_of_what_nobody_asked_for_longest() -> None:
    shelf = closed.Shelf(2500)
    for name in "abc":
        shelf.keep(name, np.zeros(100))
        assert shelf.take("a") is not None
    assert [shelf.take(name) is not None for name in "abc"] == [True, False, True]
    assert 1600 < shelf.size <= 2500
    shelf.keep("d", {"one": [figures.Figures()] * 3, "two": b"x" * 3000})
    assert shelf.size == 0


def nobody() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return a crowd of nobody."""
    return np.zeros(0, dtype=np.int64), np.zeros((0, len(crowds.SUMS)), dtype=np.int64)


def test_a_forgotten_hour_takes_its_day_and_week_with_it_and_is_made_again(counted: Session) -> None:
    session = counted
    memories.fill(session, 1, NOW)
    hour = memory.floor("hour", NOW - timedelta(days=9))
    connection = session.connection().connection.driver_connection
    pulse.forget(connection, 1, "hour", [hour])  # type: ignore[arg-type]
    stale = select(UsageRemembered.unit, UsageRemembered.at).where(UsageRemembered.fresh.is_(False))
    expected = {("hour", hour), ("day", hour.replace(hour=0)), ("week", memory.floor("week", hour))}
    assert {(unit, at) for unit, at in session.execute(stale)} == expected
    assert memories.fill(session, 1, NOW) == 3
    assert not session.execute(stale).all()


def test_an_error_of_a_day_that_is_over_is_counted_at_once_and_one_of_today_forgets_nothing(counted: Session) -> None:
    session = counted
    memories.fill(session, 1, NOW)
    wanted = Wanted(1, window("30d", NOW))
    before = {it.error.id: it.calls for it in error_groups.groups(session, wanted)[0]}
    stale = select(UsageRemembered.at).where(UsageRemembered.fresh.is_(False))
    for ago, forgotten in ((timedelta(minutes=9), 0), (timedelta(days=9), 2)):
        minute = int((NOW - ago).timestamp()) // 60
        note(session, [Failure(Subject("shop", "GET", "/orders", 500, "user9", ""), minute, "Late", "", 7)])
        assert len(session.scalars(stale).all()) == forgotten
    after = {it.error.error: (it.calls, it.users) for it in error_groups.groups(session, wanted)[0]}
    assert after["Late"] == (14, 1)
    assert len(after) == len(before) + 1
    assert memories.fill(session, 1, NOW) == 2
    assert {it.error.error: (it.calls, it.users) for it in error_groups.groups(session, wanted)[0]} == after


def test_hours_are_remembered_for_some_weeks_only(counted: Session) -> None:
    session = counted
    memories.fill(session, 1, NOW)
    memories.fill(session, 1, NOW + timedelta(days=30))
    oldest = session.scalar(select(func.min(UsageSum.at)).where(UsageSum.unit == "hour"))
    assert oldest is None or oldest >= NOW + timedelta(days=13)


def test_the_job_remembers_and_the_roll_up_and_late_folds_forget(
    runtime: Runtime, session: Session, history: Callable[..., None]
) -> None:
    now = runtime.clock.now()
    hour = now.replace(minute=0) - timedelta(days=9)
    history([(hour, "shop", 1, 200)], now)
    session.commit()
    jobs.remember(runtime)

    def fresh() -> set[tuple[str, datetime]]:
        session.rollback()
        query = select(UsageRemembered.unit, UsageRemembered.at).where(UsageRemembered.fresh.is_(True))
        return {(unit, at) for unit, at in session.execute(query)}

    mine = {("hour", hour), ("day", hour.replace(hour=0)), ("week", memory.floor("week", hour))}
    assert mine <= fresh()
    session.add(UsageDirty(env_id=1, tier="hour", at=hour, number=5))
    session.commit()
    assert rollup.roll(runtime, rollup.Dirty(1, "hour", hour, 5))
    assert not mine & fresh()
    jobs.remember(runtime)
    assert mine <= fresh()
    endpoint = session.scalars(select(UsageEndpoint.id)).one()
    session.add(UsageHorizon(tier="minute", kept_from=now - timedelta(days=7)))
    session.commit()
    late = np.array([int(hour.timestamp())])
    one = Counts(late, *(np.array([value]) for value in (endpoint, 0, 200, 1, 9, 9, 0)), unpacked([pack({-69: 1})]))
    with runtime.database.pool.connection() as connection:
        adding.add(connection, 1, one, 6)
    assert not mine & fresh()


def test_minutes_that_are_held_are_read_anew_once_calls_are_added(
    runtime: Runtime, session: Session, history: Callable[..., None]
) -> None:
    calls = [(2, 1, 200), (9, 2, 404), (9, 0, 503), (70, 1, 401)]
    history([(NOW - timedelta(minutes=ago), "shop", user, status) for ago, user, status in calls], NOW)
    session.commit()
    start, end = NOW - timedelta(hours=2), NOW

    def read() -> tuple[object, object]:
        held = crowds.read(session, 1, start, end)
        every = crowds.of_some(1, tiers.parts(session, 1, start, end), lambda table: true(), whole=True)
        plain = crowds.taken(session.execute(every).one())
        return tuple([it.ids.tolist(), it.sums.tolist(), it.last.tolist()] for it in (held, plain))

    before, plain = read()
    assert before == plain
    assert len(minutes.of(session).take("crowd", 1, minutes.versions(session, 1, Part("minute", start, end)))) == 2
    session.execute(update(UsageMinute).values(calls=UsageMinute.calls + 100))
    assert read()[0] == before != read()[1]
    session.rollback()
    endpoint = session.scalars(select(UsageEndpoint.id)).one()
    late = np.array([int((NOW - timedelta(minutes=9)).timestamp())])
    one = Counts(late, *(np.array([value]) for value in (endpoint, 0, 401, 7, 9, 9, 0)), unpacked([pack({-69: 1})]))
    with runtime.database.pool.connection() as connection, connection.transaction():
        adding.add(connection, 1, one, 6)
    session.rollback()
    after, plain = read()
    assert after == plain != before


def test_a_process_that_has_just_begun_takes_the_minutes_that_the_job_made_while_they_are_true(
    session: Session, history: Callable[..., None]
) -> None:
    history([(NOW - timedelta(minutes=ago), "shop", ago % 3, 401 if ago % 2 else 200) for ago in range(2, 40)], NOW)
    session.commit()
    start, end = NOW - timedelta(hours=1), NOW

    def read() -> list[object]:
        minutes._HELD.clear()
        them, went = crowds.read(session, 1, start, end), turns.read(session, 1, start, end).turns
        return [[column.tolist() for column in it] for it in (them, went)]

    before = read()
    memories.fill_minutes(session, 1, NOW)
    assert read() == before
    assert session.scalar(select(func.count()).select_from(UsagePiece)) == 2 * 38
    taken = np.array([[7, 5, 0, 0, 5, 0]])
    session.execute(
        update(UsagePiece).where(UsagePiece.what == "crowd").values(piece=crowds.pack(taken[:, 0], taken[:, 1:]))
    )
    assert read()[0][0] == [7]  # type: ignore[index]
    session.execute(update(UsageEndpointMinute).values(calls=UsageEndpointMinute.calls + 1))
    assert read() == before
    memories.fill_minutes(session, 1, NOW)
    assert read() == before
    memories.fill_minutes(session, 1, NOW + timedelta(hours=3))
    assert not session.scalar(select(func.count()).select_from(UsagePiece))


@pytest.mark.parametrize("factor", [1, 1 << 20, 1 << 58])
def test_users_are_summed_up_wherever_their_ids_lie(factor: int) -> None:
    chance = np.random.default_rng(3)
    table = chance.integers(0, 9, (400, 6))
    table[:, 0] = chance.integers(1, 60, 400) * min(factor, 1 << 40)
    table[:, 4] *= factor
    found = crowds._folded(table, np.arange(400))
    for place, user in enumerate(found.ids.tolist()):
        mine = table[table[:, 0] == user]
        assert found.sums[place].tolist() == [min(sum(column), LARGEST) for column in mine[:, 1:].T.tolist()]
        assert found.last[place] == max([at for at, row in enumerate(table.tolist()) if row[0] == user and row[4]])


@pytest.mark.parametrize("factor", [1, 1 << 20, 1 << 58])
def test_turns_are_summed_up_wherever_their_users_lie(factor: int) -> None:
    chance = np.random.default_rng(5)
    table = chance.integers(1, 9, (300, 5))
    table[:, 0] *= min(factor, 1 << 40)
    table[:, 1] %= len(turns.SORTS)
    table[:, 2] *= factor
    found = turns._folded(turns.unpack(turns.pack(table)))
    for user, sort, *sums in zip(*(column.tolist() for column in found), strict=True):
        mine = [row[2:] for row in table.tolist() if row[:2] == [user, sort]]
        calls, first, last = zip(*mine, strict=True)
        assert sums == [min(sum(calls), LARGEST), min(first), max(last)]
    assert len(found.users) == len({tuple(row[:2]) for row in table.tolist()})


@given(st.lists(st.tuples(*[st.integers(0, 1 << 40)] * 6), max_size=5), st.booleans())
def test_a_crowd_is_read_as_it_was_packed(rows: list[tuple[int, ...]], small: bool) -> None:
    table = np.array(rows, dtype=np.int64).reshape(-1, 6)
    if small:
        table %= 1 << 31
    assert crowds.unpack(crowds.pack(table[:, 0], table[:, 1:])).tolist() == table.tolist()


def test_nothing_is_remembered_of_an_empty_environment(session: Session) -> None:
    assert memories.fill(session, 1, NOW) == 0
    assert not people.crowd(session, Scope(1), window("30d", NOW)).ids.size
    session.execute(delete(UsageRemembered))
