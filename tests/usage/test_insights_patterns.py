"""When people call, and who stays: the pages' figures against plain sums and sets."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trackside.customers.models import User
from trackside.runtime import Runtime
from trackside_modules.usage import jobs
from trackside_modules.usage.models import UsageDirty, UsageEndpoint, UsageEndpointHour, UsageHorizon, UsagePulse
from trackside_modules.usage.reports import patterns
from trackside_modules.usage.storage import adding, memory, pulse, reach, rollup
from trackside_modules.usage.storage.counts import Counts, unpacked
from trackside_modules.usage.storage.histogram import pack

NOW = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
MONDAY = datetime(2026, 6, 15, tzinfo=UTC)
WEEK, HOUR = timedelta(weeks=1), timedelta(hours=1)

users = st.sets(st.integers(1, 12), max_size=8)


@given(st.lists(users, max_size=9))
def test_users_by_week_are_what_plain_sets_say(sets: list[set[int]]) -> None:
    starts = [MONDAY + place * WEEK for place in range(len(sets))]
    found = patterns.flow(starts, [BitMap64(each) for each in sets])
    for place, week in enumerate(found):
        active = sets[place]
        before = sets[place - 1] if place else set()
        ever = set().union(*sets[:place])
        assert set(week.new) == active - ever
        assert set(week.retained) == active & before
        assert set(week.returned) == (active & ever) - before
        assert set(week.lost) == before - active
        assert len(week.new) + len(week.retained) + len(week.returned) == len(active)


@given(st.lists(users, max_size=9))
def test_a_cohort_is_followed_through_all_weeks_after(sets: list[set[int]]) -> None:
    starts = [MONDAY + place * WEEK for place in range(len(sets))]
    for place, cohort in enumerate(patterns.cohorts(starts, [BitMap64(each) for each in sets], len(sets))):
        new = sets[place] - set().union(*sets[:place])
        assert cohort.size == len(new)
        assert cohort.active == [len(new & later) for later in sets[place:]]
        assert cohort.share(len(sets)) is None


@given(users, st.dictionaries(st.integers(6, 12), st.integers(1, 5)))
def test_a_merged_user_counts_as_the_one_they_were_merged_into(them: set[int], heads: dict[int, int]) -> None:
    who = reach.People(heads)
    assert set(who.of(BitMap64(them))) == {heads.get(each, each) for each in them}
    people = who.of(BitMap64(them))
    assert set(who.ids(people)) == set(people) | {merged for merged, head in heads.items() if head in people}


@pytest.fixture
def calls(history: Callable[..., None]) -> list[tuple[datetime, str, int, int]]:
    """Count calls of some weeks; return them as (minute, service, user, status), one for each call."""
    chance = random.Random(7)
    made = []
    for _ in range(400):
        at = NOW - timedelta(minutes=chance.randrange(1, 5 * 7 * 24 * 60))
        made.append(
            (at, chance.choice(["shop", "billing"]), chance.choice([0, 1, 2, 3, 4, 5, 6, 7]), chance.choice([200, 503]))
        )
    history(made, NOW)
    return made


@pytest.mark.parametrize("zone", [ZoneInfo("UTC"), ZoneInfo("America/New_York"), ZoneInfo("Pacific/Auckland")])
@pytest.mark.parametrize("service", ["", "shop"])
def test_the_heat_map_is_the_mean_of_each_hour_of_the_week_in_the_viewers_zone(
    session: Session, calls: list[tuple[datetime, str, int, int]], zone: ZoneInfo, service: str
) -> None:
    end = memory.floor("hour", NOW)
    start = max(end - 4 * WEEK, memory.floor("hour", min(at for at, *_ in calls)))
    kept = [it for it in calls if start <= it[0] < end and service in ("", it[1])]
    slots: dict[tuple[int, int], list[tuple[datetime, str, int, int]]] = defaultdict(list)
    for it in kept:
        there = memory.floor("hour", it[0]).astimezone(zone)
        slots[there.weekday(), there.hour].append(it)
    for measure in patterns.MEASURES:
        found = patterns.heat(session, 1, NOW, weeks=4, zone=zone, measure=measure, service=service)
        assert (found.start, found.end) == (start, end)
        for day in range(7):
            for hour in range(24):
                there = slots[day, hour]
                if measure == "users":
                    expected = len({(memory.floor("hour", at), user) for at, _, user, _ in there if user})
                else:
                    expected = sum(measure == "requests" or status >= 500 for *_, status in there)
                slot = found.days[day][hour]
                assert (slot.total, slot.times) == (expected, 4)
                assert slot.mean == expected / 4
                assert (slot.level > 0) == (expected > 0)


def test_what_is_remembered_is_what_is_counted_and_late_data_are_seen_at_once(
    session: Session, calls: list[tuple[datetime, str, int, int]], history: Callable[..., None]
) -> None:
    def shown() -> tuple[object, ...]:
        heat = patterns.heat(session, 1, NOW, weeks=4, zone=UTC, measure="users").days
        weeks = patterns.weeks(session, 1, NOW, shown=5)
        return heat, [(week.at, *map(set, (week.active, week.new, week.lost))) for week in weeks.weeks], weeks.cohorts

    counted = shown()
    assert pulse.fill(session, 1, NOW, most=10_000) > 28 * 24
    assert pulse.fill(session, 1, NOW) == 0
    assert shown() == counted
    # Remembered it is: without the tiers below, what is over stands.
    with session.begin_nested() as undone:
        session.execute(delete(UsageEndpointHour))
        assert patterns.heat(session, 1, NOW, weeks=4, zone=UTC, measure="users").days == counted[0]
        undone.rollback()
    late = NOW - timedelta(days=9)
    session.add(UsageDirty(env_id=1, tier="hour", at=memory.floor("hour", late), number=3))
    session.flush()
    session.execute(update(UsagePulse).where(UsagePulse.at == memory.floor("hour", late)).values(calls=999))
    assert shown() == counted


def test_what_was_remembered_of_a_changed_hour_is_forgotten_with_its_week(
    session: Session, calls: list[tuple[datetime, str, int, int]]
) -> None:
    pulse.fill(session, 1, NOW, most=10_000)
    hour = memory.floor("hour", NOW - timedelta(days=9))
    connection = session.connection().connection.driver_connection
    pulse.forget(connection, 1, "hour", [hour])  # type: ignore[arg-type]
    left = select(UsagePulse.unit, UsagePulse.at).where(UsagePulse.service == "")
    gone = {("hour", hour), ("week", memory.floor("week", hour))}
    rows = {(unit, at) for unit, at in session.execute(left)}
    assert not rows & gone
    pulse.forget(connection, 1, "day", [hour.replace(hour=0)])  # type: ignore[arg-type]
    assert {(unit, at) for unit, at in session.execute(left)} == rows
    assert pulse.fill(session, 1, NOW) == 2


def test_weeks_list_the_people_behind_each_number(session: Session, history: Callable[..., None]) -> None:
    now, last = MONDAY + timedelta(hours=30), MONDAY - timedelta(days=3)
    seen = [(MONDAY - 3 * WEEK, 1), (MONDAY - 3 * WEEK, 2), (last, 2), (last, 3), (MONDAY + HOUR, 3), (MONDAY, 4)]
    history([(at, "shop", user, 200) for at, user in [*seen, (MONDAY, 4), (MONDAY + HOUR, 1)]], now)
    week = patterns.week_of(session, 1, MONDAY, now)
    assert week is not None
    named = {}
    for kind in patterns.KINDS:
        people, after = patterns.persons(session, 1, week, kind)
        named[kind] = [(it.user.external_id, it.calls) for it in people]
        assert after is None
    assert named == {
        "active": [("user4", 2), ("user1", 1), ("user3", 1)],
        "new": [("user4", 2)],
        "retained": [("user3", 1)],
        "returned": [("user1", 1)],
        "lost": [("user2", 1)],
    }
    first, after = patterns.persons(session, 1, week, "active", limit=1)
    rest, end = patterns.persons(session, 1, week, "active", after=after, limit=2)
    assert [it.user.external_id for it in [*first, *rest]] == ["user4", "user1", "user3"]
    assert end is None
    # user4 turns out to be user2: they were active before, and nobody is lost
    ids: dict[str | None, int] = dict(session.execute(select(User.external_id, User.id)).all())  # type: ignore[arg-type]
    session.execute(update(User).where(User.external_id == "user4").values(merged_into=ids["user2"]))
    again = patterns.week_of(session, 1, MONDAY, now)
    assert again is not None
    assert (len(again.active), len(again.new), len(again.retained), len(again.lost)) == (3, 0, 2, 0)
    people, _ = patterns.persons(session, 1, again, "retained")
    assert [(it.user.external_id, it.calls) for it in people] == [("user2", 2), ("user3", 1)]


def test_an_empty_workspace_has_no_pattern(session: Session) -> None:
    assert patterns.weeks(session, 1, NOW, shown=5) == patterns.Weeks()
    assert patterns.heat(session, 1, NOW, weeks=4, zone=UTC, measure="requests").peak is None
    assert patterns.week_of(session, 1, MONDAY, NOW) is None


def test_the_job_remembers_every_environment(runtime: Runtime, session: Session, history: Callable[..., None]) -> None:
    now = runtime.clock.now()
    history([(now - timedelta(days=8), "shop", 1, 200)], now)
    session.commit()
    jobs.remember(runtime)
    assert session.scalar(select(func.count()).select_from(UsagePulse).where(UsagePulse.calls == 1)) == 4


def test_the_roll_up_forgets_before_a_mark_goes_and_the_fold_what_it_adds_late(
    runtime: Runtime, session: Session, history: Callable[..., None]
) -> None:
    now = runtime.clock.now()
    hour = now.replace(minute=0) - timedelta(days=9)
    history([(hour, "shop", 1, 200)], now)
    session.commit()
    jobs.remember(runtime)

    def remembered() -> set[tuple[str, datetime]]:
        session.rollback()
        query = select(UsagePulse.unit, UsagePulse.at).where(UsagePulse.service == "")
        return {(unit, at) for unit, at in session.execute(query)}

    both = {("hour", hour), ("week", memory.floor("week", hour))}
    assert both <= remembered()
    session.add(UsageDirty(env_id=1, tier="hour", at=hour, number=5))
    session.commit()
    assert rollup.roll(runtime, rollup.Dirty(1, "hour", hour, 5))
    assert not both & remembered()
    jobs.remember(runtime)
    assert both <= remembered()
    endpoint = session.scalars(select(UsageEndpoint.id)).one()
    session.add(UsageHorizon(tier="minute", kept_from=now - timedelta(days=7)))
    session.commit()
    late = np.array([int(hour.timestamp())])
    one = Counts(late, *(np.array([value]) for value in (endpoint, 0, 200, 1, 9, 9, 0)), unpacked([pack({-69: 1})]))
    with runtime.database.pool.connection() as connection:
        adding.add(connection, 1, one, 6)
    assert not both & remembered()
