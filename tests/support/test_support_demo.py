"""The demo's support log: the same past for the same moment, believable, and tied to the demo's story."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from trackside.clock import FrozenClock
from trackside.demo import story
from trackside.demo.people import LAPSED
from trackside.jobs.models import DONE, Task
from trackside.jobs.tasks import enqueue
from trackside.runtime import Runtime
from trackside_modules.support.demo import jobs
from trackside_modules.support.demo.cases import CASES, OUTAGE, TOPICS
from trackside_modules.support.demo.contexts import UNFINISHED, freeze
from trackside_modules.support.demo.failing import SPOKEN_OF, with_calls
from trackside_modules.support.demo.past import told
from trackside_modules.support.demo.seed import SOURCE
from trackside_modules.support.models import FrozenContext, Interaction
from trackside_modules.support.service.topics import slug_of

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


def test_the_past_is_the_same_for_the_same_moment() -> None:
    assert told(NOW) == told(NOW)


def test_nothing_has_happened_yet_that_is_to_come_and_everything_begins_with_its_creation() -> None:
    for each in told(NOW):
        assert each.events[0].kind == "created"
        assert all(NOW - timedelta(days=story.DAYS + 1) <= event.at <= NOW for event in each.events)


def test_the_incident_the_slow_labels_and_the_customer_who_leaves_are_in_it() -> None:
    past = told(NOW)
    begins, ends = story.INCIDENT.within(NOW)
    during = [each for each in past if begins <= each.events[0].at <= ends and each.case.kind == "incident"]
    assert len({each.person.account_id for each in during}) >= 10
    release = NOW - timedelta(days=story.RELEASE_DAYS_AGO)
    slow = [each for each in past if "2.4.1" in each.case.tags]
    assert slow
    assert all(each.events[0].at > release for each in slow)
    assert any(each.person.account_id == LAPSED and "churn" in each.case.tags for each in past)
    kinds = Counter(each.case.kind for each in past)
    assert len(past) > 230
    assert kinds["question"] > kinds["praise"]


def test_every_case_is_filed_under_a_topic_that_the_demo_makes() -> None:
    paths = {"/".join(filter(None, (parent, slug_of(name)))) for name, parent, _ in TOPICS}
    assert {each.topic for each in CASES} <= paths


USAGE = {
    "calls": 10,
    "client_errors": 0,
    "server_errors": 0,
    "wrong_turns": 0,
    "slow": 0,
    "p95_ms": 33.3,
    "hours": [4, 6],
    "days": [10],
    "errors": [],
    "endpoints": [
        {"id": at, "method": "GET", "route": f"/v1/rates/{at}", "calls": 1_000, "p95_ms": 33.3}
        | {"server_errors": 0, "client_errors": 0}
        for at in range(5)
    ],
}


def test_who_writes_of_failing_calls_has_them_in_the_frozen_context() -> None:
    spoken = [
        case for case in (*CASES, *OUTAGE) if re.search(r"\b(40[0-9]|42[29]|50[0-4])\b", case.subject + case.says)
    ]
    assert len(spoken) >= 5
    assert all(
        case.calls and (case.calls.slow or str(case.calls.status) in case.subject + case.says) for case in spoken
    )
    for subject, calls in SPOKEN_OF.items():
        (card,) = with_calls({"cards": [{"name": "usage", "values": USAGE}]}, calls, NOW)["cards"]
        values = card["values"]
        assert (values["calls"], sum(values["hours"])) == (10 + calls.number, 10 + calls.number), subject
        assert values["slow" if calls.slow else "server_errors" if calls.status >= 500 else "client_errors"]
        assert bool(values["errors"]) is not calls.slow
        assert all(NOW - timedelta(hours=1) < datetime.fromisoformat(each["at"]) < NOW for each in values["errors"])
        assert (calls.method, calls.route) in {(each["method"], each["route"]) for each in values["endpoints"]}
    assert USAGE["errors"] == [], "what is known of a customer is shared by all they wrote"


def test_a_usage_card_that_could_not_be_loaded_stays_one() -> None:
    calls = next(iter(SPOKEN_OF.values()))
    cards = [{"name": "usage", "values": None}, {"name": "flags", "values": {}}]
    assert with_calls({"cards": cards}, calls, NOW)["cards"] == cards


def test_a_context_is_frozen_at_once_and_made_anew_when_the_usage_of_the_past_is_written(
    runtime: Runtime, clock: FrozenClock, log: Callable[..., Interaction], session: Session
) -> None:
    row = log(source=SOURCE)
    session.query(FrozenContext).delete()
    session.commit()
    with runtime.database.session() as other:
        writing = enqueue(other, "usage.demo_history", {"until": clock.now().isoformat()})

    jobs.freeze_contexts(runtime)

    with runtime.database.session() as other:
        frozen = other.get_one(FrozenContext, row.id)
        assert (frozen.data["user"]["email"], frozen.data[UNFINISHED]) == ("dev@customer.example", True)
        again = other.query(Task).filter_by(kind=jobs.CONTEXTS).one()
        assert again.not_before == clock.now() + jobs.AGAIN
    assert freeze(runtime, last=False) == 0, "what is known is frozen once"
    with runtime.database.session() as other:
        other.get_one(Task, writing).state = DONE
    jobs.freeze_contexts(runtime)
    with runtime.database.session() as other:
        assert UNFINISHED not in other.get_one(FrozenContext, row.id).data
        assert other.query(Task).filter_by(kind=jobs.CONTEXTS).count() == 1


def test_a_past_that_is_never_written_is_not_waited_for_for_ever(
    runtime: Runtime, clock: FrozenClock, log: Callable[..., Interaction], session: Session
) -> None:
    row = log(source=SOURCE)
    session.query(FrozenContext).delete()
    session.commit()
    with runtime.database.session() as other:
        enqueue(other, "usage.demo_history", {"until": clock.now().isoformat()})
    jobs.freeze_contexts(runtime, tries=jobs.MOST_TRIES - 1)
    with runtime.database.session() as other:
        (again,) = other.query(Task).filter_by(kind=jobs.CONTEXTS)
        assert again.args == {"tries": jobs.MOST_TRIES}
        other.delete(again)
    jobs.freeze_contexts(runtime, tries=jobs.MOST_TRIES)
    with runtime.database.session() as other:
        assert UNFINISHED not in other.get_one(FrozenContext, row.id).data
        assert other.query(Task).filter_by(kind=jobs.CONTEXTS).count() == 0
