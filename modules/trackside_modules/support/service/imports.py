"""Writing records of elsewhere, a batch a transaction: what was brought in already stays as it is.

A record becomes the events it would have been, so metrics are true of imported history too; nothing is announced, and
nobody is mailed. One that breaks a rule is told with its line, and the others go in.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, func, literal, or_, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.customers import importing as customers
from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.models import Account, User
from trackside.customers.sheets import Sheet
from trackside.db import Database
from trackside.errors import Conflict, InputError
from trackside.text import clean_line
from trackside_modules.support import words
from trackside_modules.support.history import Event, state_of
from trackside_modules.support.importing.records import Broken, Record, Said
from trackside_modules.support.models import Interaction
from trackside_modules.support.service import fields, topics
from trackside_modules.support.service.bringing import bring_in

AT_ONCE = 1000
MOST_PROBLEMS = 100


@dataclass(slots=True)
class Outcome:
    """What an import did, or would do."""

    made: int = 0
    known: int = 0
    """Were brought in before, from the same source."""
    broken: int = 0
    problems: list[Broken] = field(default_factory=list)
    """The first of them."""

    def refuse(self, line: int, problem: str) -> None:
        """Note what is wrong with one row."""
        self.broken += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Broken(line, problem))

    @property
    def total(self) -> int:
        """Rows that were read."""
        return self.made + self.known + self.broken


@dataclass(frozen=True, slots=True)
class _People:
    users: dict[str, tuple[int, int | None]]
    """Id and account, by what they are called in lower case."""
    accounts: dict[str, int]
    members: dict[str, int]
    topics: dict[str, int | None]


def run(
    database: Database,
    records: Iterable[Record | Broken],
    *,
    source: str,
    who: Actor,
    now: datetime,
    dry: bool = False,
    tell: Callable[[Outcome], object] = lambda _: None,
) -> Outcome:
    """Bring `records` in, known by `source` and their own id; with `dry` do all of it and undo it again."""
    source, outcome, seen = clean_line(source, "source", longest=50), Outcome(), dict[str, int]()
    following = iter(records)
    while batch := list(islice(following, AT_ONCE)):
        with database.session() as session:
            savepoint = session.begin_nested()
            fresh = [each for each in batch if _fresh(each, seen, outcome)]
            _bring(session, fresh, source=source, who=who, now=now, outcome=outcome)
            if dry:
                savepoint.rollback()
            else:
                savepoint.commit()
        tell(outcome)
    return outcome


def _fresh(record: Record | Broken, seen: dict[str, int], outcome: Outcome) -> bool:
    if isinstance(record, Broken):
        outcome.refuse(record.line, record.problem)
        return False
    if record.external_ref in seen:
        outcome.refuse(record.line, f"the id {record.external_ref!r} is on line {seen[record.external_ref]} already")
        return False
    seen[record.external_ref] = record.line
    return True


def _bring(session: Session, batch: Sequence[Any], *, source: str, who: Actor, now: datetime, outcome: Outcome) -> None:
    refs = [each.external_ref for each in batch]
    there = select(Interaction.external_ref).where(Interaction.source == source, Interaction.external_ref == _any(refs))
    known = set(session.scalars(there))
    fresh = [each for each in batch if each.external_ref not in known]
    outcome.known += len(batch) - len(fresh)
    people = _people(session, fresh, who, now)
    histories = []
    for record in fresh:
        try:
            histories.append(_history(record, people, source, who, now))
        except InputError as error:
            outcome.refuse(record.line, error.message)
    bring_in(session, histories, now=now)
    outcome.made += len(histories)


def _people(session: Session, batch: Sequence[Record], who: Actor, now: datetime) -> _People:
    accounts = _accounts(session, {each.account for each in batch if each.account}, who, now)
    users = _users(session, batch, who, now)
    authors = {it.author for each in batch for it in each.said} | {each.assignee for each in batch}
    found = select(func.lower(Member.email), Member.id).where(
        func.lower(Member.email) == _any({each.lower() for each in authors if each})
    )
    members: dict[str, int] = dict(session.execute(found).all())
    paths = {each.topic for each in batch if each.topic}
    return _People(users, accounts, members, {each: _topic(session, each, who, now) for each in paths})


def _users(session: Session, batch: Sequence[Record], who: Actor, now: datetime) -> dict[str, tuple[int, int | None]]:
    wanted = {(each.user or each.email): each for each in batch if each.user or each.email}
    found = _users_called(session, wanted)
    missing = [each for name, each in wanted.items() if name.lower() not in found]
    if missing:
        columns = ["external_id", "email", "account"]
        rows = [(it.line, [it.user or it.email, it.email, it.account]) for it in missing]
        customers.run(session, USER, Sheet(columns, rows), columns, who, now=now)
        found = _users_called(session, wanted)
    return found


def _users_called(session: Session, names: Iterable[str]) -> dict[str, tuple[int, int | None]]:
    lower = {each.lower() for each in names}
    query = select(User.external_id, User.email, User.id, User.account_id, User.merged_into).where(
        or_(User.external_id == _any({*names, *lower}), func.lower(User.email) == _any(lower)), User.erased_at.is_(None)
    )
    found: dict[str, tuple[int, int | None]] = {}
    for external_id, email, number, account, merged in session.execute(query.order_by(User.id)):
        for name in filter(None, (email.lower(), (external_id or "").lower())):
            found[name] = (merged or number, account)
    return found


def _accounts(session: Session, names: set[str], who: Actor, now: datetime) -> dict[str, int]:
    def called() -> dict[str, int]:
        query = select(Account.external_id, Account.id, Account.merged_into).where(Account.external_id == _any(names))
        return {str(name): merged or number for name, number, merged in session.execute(query)}

    found = called() if names else {}
    missing = sorted(names - set(found))
    if missing:
        sheet = Sheet(["external_id"], [(place, [each]) for place, each in enumerate(missing, start=2)])
        customers.run(session, ACCOUNT, sheet, ["external_id"], who, now=now)
        found = called()
    return found


def _any(values: Iterable[str]) -> ColumnElement[Any]:
    """Return `any(array)`: one parameter, where `in` would have a thousand to be read."""
    return any_(literal(sorted(values), ARRAY(Text)))


def _topic(session: Session, text: str, who: Actor, now: datetime) -> int | None:
    """Return the topic that `text` means; an import brings along those that are not here yet."""
    found = topics.find(session, text)
    if found is None:
        try:
            with session.begin_nested():
                found = topics.create(session, text.rsplit("/", 1)[-1], who=who, now=now)
        except (InputError, Conflict):
            return None
    return found.id


def _history(record: Record, people: _People, source: str, who: Actor, now: datetime) -> list[Event]:
    name = (record.user or record.email).lower()
    user_id, account_id = people.users.get(name, (None, None))
    if name and user_id is None:
        raise fields.wrong("user", f"{record.user or record.email!r} cannot be a user, or was erased.")
    account_id = people.accounts.get(record.account, account_id)
    if user_id is None and account_id is None:
        raise fields.wrong("user", "Say who it was: a user, an e-mail address or an account.")
    at = fields.moment(record.occurred_at, "occurred_at", now=now)
    data = _created(record, people, source) | {"user_id": user_id, "account_id": account_id}
    events = [Event(1, at, "created", data, now, who.member_id, None, who.key_id)]
    for said in sorted(record.said, key=lambda each: each.at):
        _add(events, _said(said, people, user_id), now)
    if record.status:
        status = fields.one_of(record.status, words.STATUSES, "status")
        if state_of(events).status != status:
            ended = record.ended_at or events[-1].at
            _add(events, {"kind": "status", "data": {"to": status}, "at": ended, "member_id": None}, now)
    if record.csat is not None:
        told = {"score": record.csat} | ({"comment": record.comment} if record.comment else {})
        _add(events, {"kind": "csat", "data": told, "at": events[-1].at, "user_id": user_id}, now)
    return events


def _created(record: Record, people: _People, source: str) -> dict[str, Any]:
    if record.topic and people.topics.get(record.topic) is None:
        raise fields.wrong("topic", f"{record.topic!r} cannot be a topic.")
    return {
        "subject": fields.subject(record.subject[:200]),
        "kind": fields.one_of(record.kind, words.KINDS, "kind"),
        "channel": fields.one_of(record.channel, words.CHANNELS, "channel"),
        "direction": fields.one_of(record.direction, words.DIRECTIONS, "direction"),
        "status": "new" if record.direction == "in" else "open",
        "priority": fields.one_of(record.priority, words.PRIORITIES, "priority"),
        "topic_id": people.topics.get(record.topic),
        "tags": fields.tags(record.tags),
        "assignee_id": people.members.get(record.assignee.lower()),
        "env_id": None,
        "source": source,
        "external_ref": clean_line(record.external_ref, "external_ref"),
        "logged_ms": None,
    }


def _said(said: Said, people: _People, user_id: int | None) -> dict[str, Any]:
    body, member_id = fields.body(said.body), people.members.get(said.author.lower())
    if not said.public:
        return {
            "kind": "note",
            "data": {"body": body},
            "at": said.at,
            "member_id": people.members.get(said.author.lower()),
        }
    data = {"side": said.side, "body": body, "via": "import"}
    customer = said.side == "customer"
    by = {"user_id": user_id} if customer else {"member_id": member_id}
    return {"kind": "message", "data": data, "at": said.at, **by}


def _add(events: list[Event], given: dict[str, Any], now: datetime) -> None:
    """Append an event; within an interaction time never goes back, and nothing happens after now."""
    at = min(max(given.pop("at"), events[-1].at), now)
    events.append(Event(seq=len(events) + 1, at=at, recorded_at=now, **given))
