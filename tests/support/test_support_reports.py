"""Reports: each figure by its definition, and the rows behind it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.clock import FrozenClock
from trackside.customers.models import Account
from trackside_modules.support import service
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import reports
from trackside_modules.support.queries.cells import Asked, percentile
from trackside_modules.support.queries.measures import MEASURES
from trackside_modules.support.queries.reports import Report
from trackside_modules.support.service import csat

Log = Callable[..., Interaction]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def asked(clock: FrozenClock) -> Asked:
    """Ask for the 30 days up to tomorrow."""
    end = datetime(2026, 6, 16, tzinfo=UTC)
    return Asked(end - 30 * DAY, end, clock.now())


@pytest.fixture
def report(session: Session, asked: Asked, clock: FrozenClock) -> Callable[[], Report]:
    """Read the report as it is then, checking that each figure's rows are as many as it says."""

    def read() -> Report:
        current = replace(asked, now=clock.now())
        found = reports.report(session, current)
        for name, measure in MEASURES.items():
            assert reports.rows(session, current, measure)[1] == found.now[name].count, name
        return found

    return read


def test_nothing_is_told_of_nothing(report: Callable[[], Report]) -> None:
    found = report()
    assert found.now["volume"].count == 0
    assert found.now["first_reply"].p50 is None
    assert found.contact_rate() is None
    assert found.share("csat") is None


def test_percentiles_are_exact(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    numbers = [log(logged_ms=ms).id for ms in (4000, 6000, 12000)]
    for number in numbers:
        clock.advance(HOUR)
        service.reply(session, number, "Done.", who=ada, now=clock.now(), then="solved")
    found = report().now
    assert (found["first_reply"].count, found["first_reply"].p50, found["first_reply"].p90) == (3, 7200, 10080)
    assert (found["logging"].p50, found["logging"].p90) == (6000, 10800)
    assert (found["resolution"].p50, found["backlog"].count) == (7200, 0)


def test_spam_and_what_was_merged_do_not_count(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    first, second, third = (log().id for _ in range(3))
    how = {"who": ada, "now": clock.now()}
    service.merge(session, second, first, **how)
    service.set_status(session, third, "spam", **how)
    assert report().now["volume"].count == 1


def test_contacts_are_told_for_each_hundred_active_accounts(
    session: Session, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    now = clock.now()
    for name, last in (("a", now), ("b", now - 5 * DAY), ("gone", now - 40 * DAY)):
        session.add(Account(external_id=name, source="usage", first_seen=now - 90 * DAY, last_seen=last))
    log()
    log(direction="out")
    found = report()
    assert (found.accounts, found.accounts_before, found.contact_rate()) == (2, 3, 50)
    assert found.contact_rate(before=True) == 0


def test_reopened_is_told_of_those_that_were_solved(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    numbers = [log().id for _ in range(3)]
    for number in numbers[:2]:
        service.set_status(session, number, "solved", who=ada, now=clock.now())
    service.receive(session, numbers[0], "It is back.", now=clock.now())
    assert report().share("reopen_rate") == 0.5


def test_a_contact_is_repeated_within_seven_days_on_the_same_topic(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    how = {"who": ada, "now": clock.now()}
    auth, keys = service.topics.create(session, "Auth", **how), service.topics.create(session, "Keys", **how)
    for days, topic in ((20, auth), (12, auth), (6, auth), (5, keys)):
        log(topic_id=topic.id, occurred_at=clock.now() - days * DAY)
    log(topic_id=auth.id, user="other@customer.example")
    assert report().share("repeat_rate") == pytest.approx(1 / 5)
    service.topics.merge(session, keys.id, auth.id, **how)
    assert report().share("repeat_rate") == pytest.approx(2 / 5)


def test_an_overdue_promise_is_not_kept(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    kept, _waiting = log().id, log().id
    service.reply(session, kept, "Done.", who=ada, now=clock.now(), then="solved")
    assert report().share("sla") == 1
    clock.advance(6 * HOUR)  # past 17:00, four business hours after 12:00 by the next morning
    clock.advance(3 * DAY)
    assert report().share("sla") == 0.5


def test_satisfaction_stands_beside_its_response_rate(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, report: Callable[[], Report]
) -> None:
    for score in (5, 2, 0):
        number = log().id
        token = csat.make_link(session, number, who=ada, now=clock.now())
        if score:
            csat.rate(session, token, score, now=clock.now())
    found = report()
    assert (found.share("csat"), found.share("response_rate")) == (0.5, pytest.approx(2 / 3))


def test_reports_count_by_topic_day_and_age(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, asked: Asked
) -> None:
    how = {"who": ada, "now": clock.now()}
    auth = service.topics.create(session, "Auth", **how)
    below = service.topics.create(session, "Keys", parent_id=auth.id, **how)
    for days, topic in ((0, auth), (2, below), (9, below)):
        log(topic_id=topic.id, occurred_at=clock.now() - days * DAY)
    lines = reports.by_topic(session, asked)
    assert [(each.path, each.count, each.before) for each in lines] == [("auth/keys", 2, 0), ("auth", 1, 0)]
    assert reports.report(session, replace(asked, topic_id=auth.id)).now["volume"].count == 3
    assert reports.report(session, replace(asked, topic_id=below.id)).now["volume"].count == 2
    days = reports.by_day(session, asked, reports.days_of(asked, "Asia/Kathmandu", DAY))
    assert sum(each.volume for each in days) == 3
    weeks = reports.by_day(session, asked, reports.days_of(asked, "UTC", 7 * DAY))
    assert [each.volume for each in weeks] == [0, 0, 0, 1, 1, 1]
    assert [count for _, count in reports.backlog_ages(session, asked)] == [1, 1, 0, 1, 0]


def test_what_narrows_a_report_narrows_every_figure(
    session: Session, log: Log, asked: Asked, report: Callable[[], Report]
) -> None:
    made = log(kind="bug", channel="phone")
    log()
    for narrowed in (
        replace(asked, kind="bug"),
        replace(asked, channel="phone"),
        replace(asked, kind="bug", channel="phone", account_id=made.account_id),
    ):
        if narrowed.kind and narrowed.channel and made.account_id is None:
            continue
        assert reports.report(session, narrowed).now["volume"].count == 1
    assert reports.rows(session, asked, MEASURES["backlog"], "-value", limit=1)[1] == 2


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=9), st.sampled_from((0.5, 0.9)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_percentiles_are_those_of_postgresql(session: Session, values: list[int], share: float) -> None:
    query = text("select percentile_cont(:share) within group (order by v) from unnest(cast(:values as int[])) v")
    expected = session.scalar(query, {"share": share, "values": values})
    assert percentile(sorted(values), share) == pytest.approx(expected, rel=1e-12)


def test_what_reports_are_narrowed_to_follows_every_change(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, asked: Asked, report: Callable[[], Report]
) -> None:
    how = {"who": ada, "now": clock.now()}
    auth = service.topics.create(session, "Auth", **how)
    first, second, third = (log().id for _ in range(3))
    service.set_kind(session, first, "bug", **how)
    service.set_topic(session, first, auth.id, **how)
    service.set_status(session, second, "solved", **how)
    service.set_status(session, third, "spam", **how)
    same = text("""
        select count(*) from support_metric m join support_interaction i on i.id = m.interaction_id
        where (m.kind, m.channel, m.topic_id, m.user_id, m.account_id, m.inbound, m.counted, m.active)
            is not distinct from (i.kind, i.channel, i.topic_id, i.user_id, i.account_id, i.direction = 'in',
                i.status <> 'spam', i.status in ('new', 'open', 'waiting_customer', 'waiting_dev'))
    """)
    assert session.scalar(same) == 3
    assert report().now["volume"].count == 2
    narrowed = replace(asked, kind="bug", topic_id=auth.id)
    assert [line.number for line in reports.rows(session, narrowed, MEASURES["backlog"])[0]] == [first]


def test_a_day_begins_when_it_does_where_the_member_lives(asked: Asked) -> None:
    spring = replace(asked, start=datetime(2026, 3, 27, 23, tzinfo=UTC), end=datetime(2026, 3, 30, 22, tzinfo=UTC))
    days = reports.days_of(spring, "Europe/Berlin", DAY)
    assert [day.astimezone(UTC).hour for day in days] == [23, 23, 22]
    assert [day.isoweekday() for day in reports.days_of(asked, "Europe/Berlin", 7 * DAY)] == [1] * 6
