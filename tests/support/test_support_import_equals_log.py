"""What is brought in is what it would be, had it been logged as it happened: the same state, the same metrics."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.db import Base
from trackside_modules.support import service, words
from trackside_modules.support.drafts import Draft
from trackside_modules.support.importing.records import Record, Said
from trackside_modules.support.models import Interaction, Metric
from trackside_modules.support.service.bringing import bring_in
from trackside_modules.support.service.histories import history, people_of

START = datetime(2026, 3, 27, 9, tzinfo=UTC)
NOW = START + timedelta(days=60)
WHO = "dev@customer.example"
OTHER = {"id", "interaction_id", "created_at", "source", "external_ref", "env_id"}
"""What is not the same: the number, when it was written here, where it comes from, and that no context is frozen."""
SAID = st.tuples(st.integers(0, 4_000), st.sampled_from(("customer", "staff", "note")), st.sampled_from(("a", "b c")))


@st.composite
def records(draw: st.DrawFn) -> tuple[Record, bool]:
    """Draw what happened, and whether Ada has it from the start."""
    at, said = START, []
    for minutes, side, body in draw(st.lists(SAID, max_size=5)):
        at += timedelta(minutes=minutes)
        public = side != "note"
        said.append(Said(at=at, body=body, side="staff" if not public else side, public=public, author="ada"))
    status = draw(st.sampled_from(("", *words.STATUSES)))
    record = Record(
        line=1,
        external_ref="",
        subject="401 after key rotation",
        occurred_at=START,
        email=WHO,
        kind=draw(st.sampled_from(tuple(words.KINDS))),
        direction=draw(st.sampled_from(tuple(words.DIRECTIONS))),
        priority=draw(st.sampled_from(tuple(words.PRIORITIES))),
        tags=tuple(draw(st.lists(st.sampled_from(("vip", "sdk")), max_size=2))),
        status=status,
        ended_at=at + timedelta(minutes=draw(st.integers(0, 4_000))),
        said=tuple(said),
    )
    return record, draw(st.booleans())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=records())
def test_what_is_brought_in_is_what_was_logged(session: Session, ada: Actor, drawn: tuple[Record, bool]) -> None:
    record, hers = drawn
    with session.begin_nested() as undone:
        one = _logged(session, record, ada, ada.member_id if hers else None)
        other = _brought_in(session, record, ada, hers=hers)
        session.flush()
        session.expire_all()
        for model in (Interaction, Metric):
            assert _values(session.get_one(model, one)) == _values(session.get_one(model, other))
        undone.rollback()


def _logged(session: Session, record: Record, ada: Actor, assignee_id: int | None) -> int:
    given: dict[str, Any] = {each: getattr(record, each) for each in ("kind", "direction", "priority", "tags")}
    draft = Draft(subject=record.subject, user=WHO, assignee_id=assignee_id, channel="other", **given)
    number = service.log(session, draft, who=ada, now=record.occurred_at).interaction.id
    for said in record.said:
        if not said.public:
            service.note(session, number, said.body, who=ada, now=said.at)
        elif said.side == "staff":
            service.reply(session, number, said.body, who=ada, now=said.at)
        else:
            service.receive(session, number, said.body, now=said.at)
    if record.status and service.get(session, number).status != record.status:
        assert record.ended_at is not None
        service.set_status(session, number, record.status, who=ada, now=record.ended_at)
    return number


def _brought_in(session: Session, record: Record, ada: Actor, *, hers: bool) -> int:
    email = session.get_one(Member, ada.member_id).email
    said = tuple(Said(at=it.at, body=it.body, side=it.side, public=it.public, author=email) for it in record.said)
    given = {each: getattr(record, each) for each in Record.__struct_fields__}
    whole = Record(**given | {"external_ref": "T1", "said": said, "assignee": email if hers else ""})
    people = people_of(session, [whole], ada, NOW, {})
    return bring_in(session, [history(whole, people, "csv", ada, NOW).events])[0]


def _values(row: Base) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name not in OTHER}
