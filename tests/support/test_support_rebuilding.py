"""What is made of events comes back the same, whatever happened."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.history import Event
from trackside_modules.support.service import bringing, rebuilding

CACHES = ("interaction", "link", "search", "word", "metric")
START = datetime(2026, 10, 23, 8, tzinfo=UTC)
"""Some days before clocks go back in many places."""
CREATED = {
    "subject": "401 after key rotation",
    "kind": "bug",
    "channel": "email",
    "priority": "high",
    "status": "new",
    "source": "web",
}
LINK = {"kind": "flag", "ref": "new-auth"}
HAPPENING = st.sampled_from(
    [
        ("message", {"side": "customer", "body": "It says 401", "via": "web"}),
        ("message", {"side": "staff", "body": "Rotate once more", "via": "web"}),
        ("message", {"side": "staff", "body": "We got it", "via": "web", "automatic": True}),
        ("note", {"body": "Called them"}),
        ("assign", {"to": 2}),
        ("tags", {"add": ["vip"], "remove": []}),
        ("link", LINK),
        ("shipped", LINK),
        ("csat_asked", {}),
        ("csat", {"score": 4, "comment": "Quick"}),
        *(("status", {"to": to}) for to in ("open", "waiting_customer", "waiting_dev", "solved", "closed", "spam")),
    ]
)
HISTORY = st.lists(st.tuples(st.integers(0, 5000), HAPPENING), max_size=12)


def events(happened: list[tuple[int, tuple[str, dict[str, Any]]]], direction: str) -> list[Event]:
    """Return a history, each event so many minutes after the one before it."""
    at, found = START, [Event(1, START, "created", {**CREATED, "tags": [], "direction": direction}, START)]
    for minutes, (kind, data) in happened:
        at += timedelta(minutes=minutes)
        found.append(Event(len(found) + 1, at, kind, data, at, member_id=1))
    return found


def everything(session: Session) -> list[list[tuple[object, ...]]]:
    return [sorted(map(tuple, session.execute(text(f"select * from support_{name}"))), key=str) for name in CACHES]


@given(st.lists(st.tuples(HISTORY, st.sampled_from(("in", "out"))), min_size=1, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rebuild_after_dropping_every_cache_gives_the_same(session: Session, histories: Any) -> None:
    with session.begin_nested() as savepoint:
        bringing.bring_in(session, [events(*each) for each in histories])
        before = everything(session)
        assert len(before[CACHES.index("metric")]) == len(histories)
        for name in CACHES:
            session.execute(text(f"delete from support_{name}"))
        ours: Any = SimpleNamespace(session=lambda: nullcontext(session))
        assert rebuilding.rebuild(ours) == len(histories)
        assert everything(session) == before
        savepoint.rollback()
