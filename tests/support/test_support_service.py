"""What can be done with interactions."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.clock import FrozenClock
from trackside.errors import Conflict, InputError, NotFound, StaleVersion
from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.events import (
    InteractionChanged,
    InteractionEvent,
    InteractionLogged,
    MessageSent,
    StatusChanged,
)
from trackside_modules.support.models import EventRow, Interaction, SearchRow

Log = Callable[..., Interaction]


def test_who_and_what_are_enough(session: Session, ada: Actor, clock: FrozenClock) -> None:
    logged = service.log(
        session, Draft(subject="401 after rotation", user="dev@customer.example"), who=ada, now=clock.now()
    )
    made = logged.interaction
    assert (made.status, made.kind, made.priority, made.direction) == ("new", "question", "normal", "in")
    assert made.ref == f"SUP-{made.id}"
    assert made.waiting_since == made.occurred_at == clock.now()
    assert logged.people.user is not None
    assert logged.people.user.email == "dev@customer.example"
    assert logged.said == ["dev@customer.example is new here: they were added to the users."]


def test_a_known_user_brings_their_account(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    first = log(account="acme")
    again = service.log(session, Draft(subject="Again", user="dev@customer.example"), who=ada, now=clock.now())
    assert again.interaction.account_id == first.account_id
    assert again.said == []


def test_nobody_is_refused_by_field(log: Log) -> None:
    with pytest.raises(InputError) as caught:
        log(user="")
    assert "user" in caught.value.fields


def test_the_same_external_ref_is_logged_once(log: Log) -> None:
    first = log(source="csv", external_ref="7")
    with pytest.raises(Conflict, match=first.ref):
        log(source="csv ", external_ref=" 7")
    log(source="zendesk", external_ref="7")


def test_a_reply_makes_it_the_customers_turn(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    number = log(body="It says 401.").id
    clock.advance(timedelta(minutes=7))
    row = service.reply(session, number, "Rotate it again.", who=ada, now=clock.now())
    assert (row.status, row.waiting_since, row.first_reply_at) == ("waiting_customer", None, clock.now())
    clock.advance(timedelta(minutes=7))
    row = service.reply(session, number, "Does it work?", who=ada, now=clock.now(), then="solved")
    assert (row.status, row.solved_at, row.messages) == ("solved", clock.now(), 3)


def test_a_customers_message_opens_what_was_solved(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    number = log().id
    service.set_status(session, number, "solved", who=ada, now=clock.now())
    row = service.receive(session, number, "Still 401", now=clock.now())
    assert (row.status, row.reopens, row.solved_at) == ("open", 1, None)
    row = service.receive(session, number, "I am on holiday", now=clock.now(), automatic=True)
    assert row.status == "open"


def test_a_reply_to_what_changed_meanwhile_is_refused(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    row = log()
    seen = row.version
    service.receive(session, row.id, "One more thing", now=clock.now())
    with pytest.raises(StaleVersion):
        service.reply(session, row.id, "Done", who=ada, now=clock.now(), if_version=seen)


def test_merging_sends_on_and_keeps_the_words(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    one, other = log("Webhook retries", tags=("hooks",)), log("Invoice missing")
    target = service.merge(session, one.id, other.id, who=ada, now=clock.now())
    assert target.id == other.id
    assert target.tags == ["hooks"]
    assert service.get(session, one.id).merged_into == other.id
    assert service.standing(session, one.id) == other.id
    with pytest.raises(Conflict):
        service.reply(session, one.id, "Hello", who=ada, now=clock.now())
    assert service.receive(session, one.id, "By mail", now=clock.now()).id == other.id
    found = session.scalars(
        select(SearchRow.interaction_id).where(
            SearchRow.document.op("@@")(text("websearch_to_tsquery('english', 'retry')"))
        )
    )
    assert set(found) == {one.id, other.id}


def test_splitting_copies_the_messages_with_their_times(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    row = log(body="Two things. One")
    clock.advance(timedelta(hours=1))
    asked = service.receive(session, row.id, "And where is the invoice?", now=clock.now()).version
    clock.advance(timedelta(hours=1))
    new = service.split(session, row.id, [asked], "Invoice", who=ada, now=clock.now())
    assert (new.subject, new.messages, new.user_id) == ("Invoice", 1, row.user_id)
    assert new.occurred_at == clock.now() - timedelta(hours=1)
    with pytest.raises(InputError):
        service.split(session, row.id, [1], "Nothing", who=ada, now=clock.now())


def test_bulk_does_what_it_can_and_says_the_rest(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    numbers = [log().id, log().id]
    done = service.bulk(
        session,
        [*numbers, 10**9],
        lambda number: service.tag(session, number, add=["key"], who=ada, now=clock.now()),
    )
    assert done.done == numbers
    assert list(done.refused) == [10**9]


def test_events_are_never_changed(session: Session, log: Log) -> None:
    log()
    for statement in ("update support_event set kind = 'note'", "delete from support_event"):
        with pytest.raises(DBAPIError, match="insert-only"), session.begin_nested():
            session.execute(text(statement))
    assert session.scalar(select(EventRow.kind)) == "created"


def test_what_is_not_there_is_not_found(session: Session, ada: Actor, clock: FrozenClock) -> None:
    for number in (0, -1, 10**9, 1 << 70):
        with pytest.raises(NotFound):
            service.note(session, number, "Hello", who=ada, now=clock.now())


def test_what_happened_is_announced_once_committed_also_where_another_refuses(
    runtime: Runtime, clock: FrozenClock
) -> None:
    heard: list[InteractionEvent] = []
    for kind in (InteractionLogged, MessageSent, StatusChanged, InteractionChanged):
        runtime.events.subscribe(kind, heard.append)
    who = Actor("Ada")
    with runtime.database.session() as session:
        draft = Draft(subject="A", user="u")
        one, two, three = (service.log(session, draft, who=who, now=clock.now()).interaction.id for _ in range(3))
        service.merge(session, two, three, who=who, now=clock.now())
    assert [type(each) for each in heard[:3]] == [InteractionLogged] * 3
    heard.clear()
    with runtime.database.session() as session:
        service.bulk(
            session,
            [one, two, three],
            lambda number: service.reply(session, number, "Done", who=who, now=clock.now(), then="solved"),
        )
        assert heard == []
    assert [(each.interaction_id, type(each)) for each in heard if not isinstance(each, StatusChanged)] == [
        (number, kind) for number in (one, three) for kind in (MessageSent, InteractionChanged)
    ]
    assert [each.status for each in heard if isinstance(each, StatusChanged)] == ["waiting_customer", "solved"] * 2
