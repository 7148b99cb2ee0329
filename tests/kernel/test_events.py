"""Events are published after commit, and only then."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from trackside.events import EventBus, UserErased, announce
from trackside.runtime import Runtime
from trackside.workspace import WorkspaceFact, set_fact

ERASED = UserErased(at=datetime(2026, 1, 1, tzinfo=UTC), user_id=7)


@pytest.fixture
def heard(runtime: Runtime) -> list[object]:
    found: list[object] = []
    runtime.events.subscribe(UserErased, found.append)
    return found


def test_an_event_is_published_once_its_transaction_has_committed(runtime: Runtime, heard: list[object]):
    with runtime.database.session() as session:
        set_fact(session, "a", "1")
        announce(session, ERASED)
        session.flush()
        assert heard == []
    assert heard == [ERASED]


def test_an_event_of_a_rolled_back_change_is_forgotten(runtime: Runtime, heard: list[object]):
    with runtime.database.sessions() as session:
        runtime.events.attach(session)
        set_fact(session, "a", "1")
        announce(session, ERASED)
        session.rollback()
        session.commit()
    assert heard == []


def test_a_savepoint_does_not_publish_early(runtime: Runtime, heard: list[object]):
    with runtime.database.session() as session:
        with session.begin_nested():
            set_fact(session, "a", "1")
            announce(session, ERASED)
        assert heard == []
    assert heard == [ERASED]


def test_a_savepoint_that_is_undone_takes_its_own_events_alone(runtime: Runtime, heard: list[object]):
    other = UserErased(at=ERASED.at, user_id=8)
    with runtime.database.session() as session:
        announce(session, ERASED)
        with pytest.raises(ValueError, match="inner"), session.begin_nested():
            announce(session, other)
            with session.begin_nested():
                announce(session, other)
            raise ValueError("inner")
        with pytest.raises(IntegrityError), session.begin_nested():
            announce(session, other)
            session.add(WorkspaceFact(key="b"))  # without its value, the flush fails
            session.flush()
        announce(session, ERASED)
    assert heard == [ERASED, ERASED]


def test_a_failing_subscriber_does_not_disturb_the_others():
    bus, found = EventBus(), []

    def fail(_event: object) -> None:
        raise ValueError

    bus.subscribe(UserErased, fail)
    bus.subscribe(UserErased, found.append)
    bus.publish(ERASED)
    assert found == [ERASED]
