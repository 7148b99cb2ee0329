"""What becomes of interactions when customers are erased or merged, and that all caches can be made anew."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM, Actor
from trackside.clock import FrozenClock
from trackside.customers.erase import erase
from trackside.customers.merge import merge
from trackside.customers.models import Account, User
from trackside.runtime import Runtime
from trackside_modules.support import service
from trackside_modules.support.drafts import Draft
from trackside_modules.support.models import File, FrozenContext, Interaction, Link
from trackside_modules.support.queries import search
from trackside_modules.support.service import erasing, rebuilding
from trackside_modules.support.service.rebuilding import Progress

Log = Callable[..., Interaction]
SECRET = "Lindqvist"


def everything(session: Session) -> str:
    """Return all that the support log keeps, as text."""
    tables = session.scalars(text("select tablename from pg_tables where tablename like 'support\\_%'")).all()
    return "\n".join(str(session.execute(text(f"select * from {table}")).all()) for table in sorted(tables))


def test_erasing_a_user_takes_their_words_and_leaves_the_counts(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    file = File(sha256="ab" * 32, name=f"{SECRET}.png", type="image/png", bytes=3, created_at=clock.now())
    session.add(file)
    session.flush()
    row = log(f"{SECRET} cannot sign in", body=f"I am {SECRET}", note=f"Called {SECRET}", tags=(SECRET,), kind="bug")
    service.receive(session, row.id, "See the picture", now=clock.now(), file_ids=[file.id])
    service.link(session, row.id, "url", "https://tracker.example/1", title=SECRET, who=ada, now=clock.now())
    service.set_status(session, row.id, "solved", who=ada, now=clock.now())
    session.add(FrozenContext(interaction_id=row.id, data={"user": {"name": SECRET}}))
    other = log("Rotation", user="someone@else.example")
    erase(session, session.get_one(User, row.user_id), SYSTEM, now=clock.now())

    assert erasing.follow(session, now=clock.now()) == 1
    assert erasing.follow(session, now=clock.now()) == 0
    after = service.get(session, row.id)
    assert SECRET.lower() not in everything(session).lower()
    assert (after.erased, after.subject, after.messages, after.kind, after.status) == (
        True,
        "(erased)",
        2,
        "bug",
        "solved",
    )
    assert after.updated_at == row.updated_at
    assert search.find(session, SECRET, now=clock.now()).hits == []
    assert [each.row.id for each in search.find(session, "rotation", now=clock.now()).hits] == [other.id]


def test_what_others_still_say_can_be_misspelt_after_an_erasure(session: Session, clock: FrozenClock, log: Log) -> None:
    gone, kept = log("Authentication of Kowalski fails"), log("Authentication", user="someone@else.example")
    erase(session, session.get_one(User, gone.user_id), SYSTEM, now=clock.now())
    erasing.follow(session, now=clock.now())
    assert [each.row.id for each in search.find(session, "athentication", now=clock.now()).hits] == [kept.id]
    assert search.find(session, "kovalski", now=clock.now()).hits == []


def test_what_was_merged_on_and_on_forgets_the_words_too(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    gone, between, last = log(f"{SECRET} writes"), log("Second", user="b"), log("Third", user="c")
    service.merge(session, gone.id, between.id, who=ada, now=clock.now())
    service.merge(session, between.id, last.id, who=ada, now=clock.now())
    erase(session, session.get_one(User, gone.user_id), SYSTEM, now=clock.now())
    erasing.follow(session, now=clock.now())
    assert SECRET.lower() not in everything(session).lower()


def test_an_erasure_opens_no_event_for_other_changes(session: Session, log: Log) -> None:
    row = log()
    session.execute(text("set local trackside.erasing = 'on'"))
    with pytest.raises(DBAPIError, match="insert-only"), session.begin_nested():
        session.execute(text("update support_event set at = now() where interaction_id = :id"), {"id": row.id})


def test_merged_customers_take_their_interactions_along(session: Session, clock: FrozenClock, log: Log) -> None:
    old, new = log(user="old", account="old-inc"), log(user="new", account="new-inc")
    for kind, name in ((User, "user_id"), (Account, "account_id")):
        row, target = (session.get_one(kind, getattr(each, name)) for each in (old, new))
        merge(session, row, target, SYSTEM, now=clock.now())
    clock.advance(timedelta(hours=1))
    assert erasing.follow(session, now=clock.now()) == 1
    after = service.get(session, old.id)
    assert (after.user_id, after.account_id) == (new.user_id, new.account_id)
    assert after.updated_at == clock.now() - timedelta(hours=1)
    assert erasing.follow(session, now=clock.now()) == 0


def test_caches_that_were_dropped_come_back_the_same(
    runtime: Runtime, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = Actor("Ada")
    with runtime.database.session() as session:
        numbers = []
        for at in range(6):
            draft = Draft(subject=f"Subject {at}", user=f"u_{at % 3}", body="It says 401", links=(("flag", "f"),))
            numbers.append(service.log(session, draft, who=who, now=clock.now()).interaction.id)
        clock.advance(timedelta(minutes=5))
        service.reply(session, numbers[0], "Try again", who=who, now=clock.now(), then="solved")
        service.merge(session, numbers[1], numbers[2], who=who, now=clock.now())
        service.merge(session, numbers[2], numbers[3], who=who, now=clock.now())
        service.split(session, numbers[4], [2], "Another", who=who, now=clock.now())
        service.ship(session, numbers[5], "flag", "f", who=who, now=clock.now())
    with runtime.database.session() as session:
        before = everything(session)
        session.execute(
            text("truncate support_interaction, support_link, support_search, support_word, support_metric")
        )
    monkeypatch.setattr(rebuilding, "CHUNK", 3)  # enough for processes to share
    told: list[Progress] = []
    assert rebuilding.rebuild(runtime.database, tell=told.append) == 7
    assert told[-1].done == told[-1].total
    with runtime.database.session() as session:
        assert sorted(everything(session)) == sorted(before)
        session.execute(text("update support_interaction set status = 'spam', messages = 99"))
        session.execute(text("update support_metric set replies = 99"))
        session.execute(text("insert into support_link values (1, 'url', 'x', '', now(), null, null)"))
    rebuilding.rebuild(runtime.database)
    with runtime.database.session() as session:
        assert sorted(everything(session)) == sorted(before)
        assert session.scalar(select(Link.ref).where(Link.kind == "url")) is None
