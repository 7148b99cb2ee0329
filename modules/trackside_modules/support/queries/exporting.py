"""Taking the support log away: a row for each interaction or for each event, as CSV or JSON, a batch at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from trackside.auth.models import Member
from trackside.csv_lines import line
from trackside.customers.models import Account, User
from trackside_modules.support.models import EventRow, Interaction, Metric, Topic
from trackside_modules.support.queries.filters import Filter, conditions, has_words

AT_ONCE = 1000
FORMATS = ("csv", "json")
It = Interaction
_OWN = ("subject", "status", "kind", "priority", "channel", "direction", "tags")
_TIMES = ("occurred_at", "created_at", "updated_at", "first_reply_at", "solved_at")
_REST = ("messages", "reopens", "csat", "source", "external_ref", "merged_into")
_CLOCKS = ("first_reply_s", "resolution_s", "missed")
INTERACTION = ("number", *_OWN, "topic", "user", "email", "account", "assignee", *_TIMES, *_REST, *_CLOCKS)
EVENT = ("number", "seq", "at", "recorded_at", "kind", "member", "user", "key_id", "data")
Row = Mapping[str, Any]


def interactions(session: Session, asked: Filter, *, now: datetime) -> Iterator[Row]:
    """Yield the interactions `asked` for, in the order of their numbers; its keys are `INTERACTION`.

    `first_reply_s` and `resolution_s` are seconds of business time.
    """
    for numbers in _numbers(session, asked, now):
        query = (
            select(It, User.external_id, User.email, Account.external_id, Topic.path, Member.email, Metric)
            .outerjoin(User, User.id == It.user_id)
            .outerjoin(Account, Account.id == It.account_id)
            .outerjoin(Topic, Topic.id == It.topic_id)
            .outerjoin(Member, Member.id == It.assignee_id)
            .outerjoin(Metric, Metric.interaction_id == It.id)
            .where(It.id.in_(numbers))
            .order_by(It.id)
        )
        for it, user, email, account, topic, assignee, metric in session.execute(query):
            own = {name: getattr(it, name) for name in (*_OWN, *_TIMES, *_REST)}
            whom = {"user": user, "email": email, "account": account, "topic": topic, "assignee": assignee}
            yield {"number": it.id, **own, **whom, **{name: getattr(metric, name, None) for name in _CLOCKS}}


def events(session: Session, asked: Filter, *, now: datetime) -> Iterator[Row]:
    """Yield what happened to the interactions `asked` for, one after the other; its keys are `EVENT`."""
    who = aliased(User)
    for numbers in _numbers(session, asked, now):
        query = (
            select(EventRow, Member.email, who.external_id)
            .outerjoin(Member, Member.id == EventRow.member_id)
            .outerjoin(who, who.id == EventRow.user_id)
            .where(EventRow.interaction_id.in_(numbers))
            .order_by(EventRow.interaction_id, EventRow.seq)
        )
        for event, member, user in session.execute(query):
            own = {name: getattr(event, name) for name in ("seq", "at", "recorded_at", "kind", "key_id", "data")}
            yield {"number": event.interaction_id, "member": member, "user": user, **own}


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a CSV file, in which no cell is a formula."""
    yield line(columns)
    for row in rows:
        yield line([_cell(row[name]) for name in columns])


def as_json(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Yield the pieces of one JSON array, an object a line."""
    before = "[\n"
    for row in rows:
        yield before + msgspec.json.encode({name: row[name] for name in columns}).decode()
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def export(session: Session, asked: Filter, *, now: datetime, form: str, by_event: bool = False) -> Iterator[str]:
    """Yield the pieces of an export in the format `form`, one of `FORMATS`."""
    columns = EVENT if by_event else INTERACTION
    rows = (events if by_event else interactions)(session, asked, now=now)
    return (as_csv if form == "csv" else as_json)(columns, rows)


def _numbers(session: Session, asked: Filter, now: datetime) -> Iterator[list[int]]:
    """Yield the numbers `asked` for, a batch at a time: by key, so that nothing is held open between two."""
    query = select(It.id).where(*conditions(asked, now=now)).order_by(It.id).limit(AT_ONCE)
    if asked.text:
        query = query.where(has_words(asked.text))
    last = 0
    while found := list(session.scalars(query.where(It.id > last))):
        yield found
        last = found[-1]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return msgspec.json.encode(value).decode() if isinstance(value, (dict, bool)) else str(value)
