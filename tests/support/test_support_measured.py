"""Metrics as they are kept: with each event, after a change of the rules, and by lists."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.clock import FrozenClock
from trackside.errors import Conflict, InputError, StaleVersion
from trackside.jobs.models import Task
from trackside_modules.support import service
from trackside_modules.support.clocks.rules import DEFAULT, Calendar, Filter, Policy
from trackside_modules.support.clocks.walks import Walk, walk
from trackside_modules.support.lookup.interactions import histories_of
from trackside_modules.support.models import Interaction, Metric
from trackside_modules.support.queries.due import due
from trackside_modules.support.service import metrics, rules

Log = Callable[..., Interaction]
ALWAYS = Calendar(id=0, name="Always", zone="UTC", week=(((0, 1440),),) * 7)
HOUR = timedelta(hours=1)


def walks(session: Session, *numbers: int) -> dict[int, Walk]:
    return {number: walk(events) for number, events in histories_of(session, numbers).items()}


def row(session: Session, number: int) -> Metric:
    return session.get_one(Metric, number, populate_existing=True)


def everything(session: Session) -> list[tuple[object, ...]]:
    columns = Metric.__table__.columns
    return [tuple(each) for each in session.execute(select(*columns).order_by(Metric.interaction_id))]


@pytest.fixture
def night_and_day(session: Session, ada: Actor, clock: FrozenClock) -> int:
    """Let everyone be answered within two hours of any day or night; return the calendar's id."""
    made = rules.put_calendar(session, ALWAYS, who=ada, now=clock.now()).calendars[-1]
    policy = replace(DEFAULT.policies[0], calendar_id=made.id, first_reply=2 * 3600, next_reply=None, resolution=None)
    rules.put_policy(session, policy, who=ada, now=clock.now())
    return made.id


def test_a_reply_stops_the_clock(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, night_and_day: int
) -> None:
    number = log(logged_ms=4200).id
    start = clock.now()
    assert due(session, [number], start)[number].at == start + 2 * HOUR
    clock.advance(3 * HOUR)
    late = due(session, [number], clock.now())[number]
    assert (late.overdue, late.breached, late.words) == (True, True, "First reply")
    service.reply(session, number, "Rotate it once more.", who=ada, now=clock.now())
    found = row(session, number)
    assert (found.first_reply_s, found.first_reply_missed, found.due_at) == (3 * 3600, True, None)
    assert (found.logged_ms, found.seq, found.missed) == (4200, 2, True)


def test_who_has_no_metrics_has_nothing_due(session: Session, clock: FrozenClock) -> None:
    assert not due(session, [77], clock.now())[77].breached


def test_a_change_of_the_rules_measures_history_anew(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    numbers = [log().id for _ in range(3)]
    clock.advance(30 * HOUR)
    for number in numbers[:2]:
        service.reply(session, number, "Done.", who=ada, now=clock.now())
    before = everything(session)
    calendar = rules.put_calendar(session, ALWAYS, who=ada, now=clock.now()).calendars[-1]
    now = rules.put_policy(session, replace(DEFAULT.policies[0], calendar_id=calendar.id), who=ada, now=clock.now())
    assert metrics.stale(session, now) == 3
    assert session.scalar(select(Task.kind).where(Task.dedupe_key == rules.REMEASURE))
    last = metrics.remeasure(session)
    assert last == numbers[-1]
    assert metrics.remeasure(session, after=last or 0) is None
    assert metrics.stale(session, now) == 0
    assert row(session, numbers[0]).first_reply_s == 30 * 3600
    assert everything(session) != before


def test_metrics_that_were_lost_come_back_the_same(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    numbers = [log(tags=("key",)).id, log(direction="out").id]
    clock.advance(5 * HOUR)
    service.reply(session, numbers[0], "Done.", who=ada, now=clock.now(), then="solved")
    service.receive(session, numbers[0], "No.", now=clock.now() + HOUR)
    before = everything(session)
    session.execute(delete(Metric))
    metrics.write(session, walks(session, *numbers), new=False)
    assert everything(session) == before


def test_what_saw_later_events_is_not_written_over(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    number = log().id
    early = walks(session, number)
    service.reply(session, number, "Done.", who=ada, now=clock.now())
    metrics.write(session, early, new=False)
    assert row(session, number).seq == 2


def test_a_policy_is_chosen_by_what_an_interaction_is(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    urgent = Policy(
        id=0, name="Urgent", calendar_id=1, first_reply=60, when=Filter(priorities=("urgent",), tags=("vip",))
    )
    made = rules.put_policy(session, urgent, who=ada, now=clock.now())
    assert [each.name for each in made.policies] == ["Urgent", "Everyone"]
    number = log(priority="urgent", tags=("vip",)).id
    assert row(session, number).policy_id == made.policies[0].id
    service.prioritise(session, number, "low", who=ada, now=clock.now())
    assert row(session, number).policy_id == 1


def test_a_policy_for_a_topic_takes_what_is_below_it_and_follows_the_tree(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    how: dict[str, Any] = {"who": ada, "now": clock.now()}
    auth = service.topics.create(session, "Auth", **how)
    keys = service.topics.create(session, "Keys", parent_id=auth.id, **how)
    billing = service.topics.create(session, "Billing", **how)
    assert rules.current(session).version == 0, "no policy minds topics yet"
    numbers = {path: log(topic=path).id for path in ("auth", "auth/keys", "billing")}
    made = rules.put_policy(session, Policy(id=0, name="VIP", calendar_id=1, when=Filter(topics=(auth.id,))), **how)
    vip = made.policies[0].id

    def taken() -> set[str]:
        metrics.remeasure(session)
        return {path for path, number in numbers.items() if row(session, number).policy_id == vip}

    assert taken() == {"auth", "auth/keys"}
    service.topics.change(session, keys.id, name="Keys", parent_id=billing.id, **how)
    assert taken() == {"auth"}
    service.topics.change(session, billing.id, name="Billing", parent_id=auth.id, **how)
    assert taken() == {"auth", "auth/keys", "billing"}
    newer = service.topics.create(session, "Identity", **how)
    service.topics.merge(session, auth.id, newer.id, **how)
    found = rules.current(session)
    assert found.policies[0].when.topics == (newer.id,)
    assert taken() == {"auth", "auth/keys", "billing"}
    service.topics.archive(session, billing.id, archived=True, **how)
    assert rules.current(session) == found
    with pytest.raises(InputError, match="topics: Choose from the list"):
        rules.put_policy(session, Policy(id=0, name="No", calendar_id=1, when=Filter(topics=(99,))), **how)


def test_rules_that_make_no_sense_are_refused(session: Session, ada: Actor, clock: FrozenClock) -> None:
    how = {"who": ada, "now": clock.now()}
    for calendar in (
        replace(ALWAYS, zone="Nowhere/At_all"),
        replace(ALWAYS, week=((),) * 7),
        replace(ALWAYS, week=(((600, 500),), *((),) * 6)),
        replace(ALWAYS, name="office HOURS"),
        replace(ALWAYS, name=""),
        replace(ALWAYS, country="XX"),
        replace(ALWAYS, country="DE", region="CA"),
        replace(ALWAYS, region="CA"),
    ):
        with pytest.raises(InputError):
            rules.put_calendar(session, calendar, **how)
    for policy in (
        Policy(id=0, name="P", calendar_id=9),
        Policy(id=0, name="P", calendar_id=1, first_reply=1),
        Policy(id=0, name="P", calendar_id=1, when=Filter(kinds=("none",))),
        Policy(id=0, name="P", calendar_id=1, pauses=("new",)),
    ):
        with pytest.raises(InputError):
            rules.put_policy(session, policy, **how)
    with pytest.raises(Conflict):
        rules.drop_calendar(session, 1, **how)
    with pytest.raises(StaleVersion):
        rules.drop_policy(session, 1, if_version=7, **how)


def test_policies_come_go_and_change_places(session: Session, ada: Actor, clock: FrozenClock) -> None:
    how = {"who": ada, "now": clock.now()}
    second = rules.put_policy(session, Policy(id=0, name="Rest", calendar_id=1), **how).policies[-1]
    assert rules.raise_policy(session, second.id, **how).policies[0] == second
    assert rules.drop_policy(session, 1, **how).policies == (second,)
    assert rules.versions(session)[0].what == "Policy 'Everyone' removed"
    assert rules.current(session).version == 3


def test_what_is_logged_as_solved_with_its_message_was_never_reopened(session: Session, log: Log) -> None:
    number = log(body="How do I rotate a key? - Told them.", status="solved", channel="phone").id
    found = row(session, number)
    assert (found.reopens, found.resolved_at, found.resolution_s) == (0, found.started_at, 0)
    assert session.get_one(Interaction, number).status == "solved"


def test_later_rules_are_not_written_over_by_who_read_them_before(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = log().id
    rules.put_calendar(session, ALWAYS, who=ada, now=clock.now())
    metrics.remeasure(session)
    with monkeypatch.context() as before:
        before.setattr(rules, "current", lambda _: DEFAULT)
        metrics.write(session, walks(session, number), new=False)
    assert row(session, number).rules_version == 1
