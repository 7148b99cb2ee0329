"""What a record of elsewhere amounts to here: whose it was, made known where nobody knew them, and what happened."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, func, literal, or_, select
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.customers import importing as customers
from trackside.customers.erase import ADDRESS, erased
from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.models import Account, User
from trackside.customers.sheets import Sheet
from trackside.errors import Conflict, InputError
from trackside.text import clean_line
from trackside_modules.support import words
from trackside_modules.support.clocks.walks import Walk, begun
from trackside_modules.support.history import Event
from trackside_modules.support.importing.records import Record, Said
from trackside_modules.support.service import fields, topics

FILES = "files"
"""Stands in a message's data until its files are kept (see `imports`)."""


@dataclass(frozen=True, slots=True)
class People:
    """Those whom some records name."""

    users: dict[str, tuple[int, int | None]]
    """Id and account, by what they are called in lower case."""
    erased: set[str]
    """What those were called, in lower case, who are erased: to be written nowhere."""
    accounts: dict[str, int]
    members: dict[str, int]
    topics: dict[str, int | None]


def people_of(
    session: Session, batch: Sequence[Record], who: Actor, now: datetime, known_topics: dict[str, int | None]
) -> People:
    """Return those whom the records in `batch` name; users, accounts and topics that are not here yet are made.

    What topics are is asked once for all batches, and kept in `known_topics`.
    """
    accounts = _accounts(session, {each.account for each in batch if each.account}, who, now)
    users, gone = _users(session, batch, who, now)
    authors = {it.author for each in batch for it in each.said} | {each.assignee for each in batch}
    found = select(func.lower(Member.email), Member.id).where(
        func.lower(Member.email) == any_of({each.lower() for each in authors if each})
    )
    members: dict[str, int] = dict(session.execute(found).all())
    for path in sorted({each.topic for each in batch if each.topic} - set(known_topics)):
        known_topics[path] = _topic(session, path, who, now)
    return People(users, gone, accounts, members, known_topics)


def _users(
    session: Session, batch: Sequence[Record], who: Actor, now: datetime
) -> tuple[dict[str, tuple[int, int | None]], set[str]]:
    wanted = {(each.user or each.email): each for each in batch if each.user or each.email}
    found = _users_called(session, wanted)
    missing = [each for name, each in wanted.items() if name.lower() not in found]
    buried = erased(session, ADDRESS, {name for it in missing for name in (it.user, it.email) if name})
    buried |= erased(session, USER.name, {it.user or it.email for it in missing})
    gone = {(it.user or it.email).lower() for it in missing if buried & {it.user, it.email}}
    missing = [each for each in missing if (each.user or each.email).lower() not in gone]
    if missing:
        columns = ["external_id", "email", "account"]
        rows = [(it.line, [it.user or it.email, it.email, it.account]) for it in missing]
        customers.run(session, USER, Sheet(columns, rows), columns, who, now=now)
        found = _users_called(session, wanted)
    return found, gone


def _users_called(session: Session, names: Iterable[str]) -> dict[str, tuple[int, int | None]]:
    lower = {each.lower() for each in names}
    query = select(User.external_id, User.email, User.id, User.account_id, User.merged_into).where(
        or_(User.external_id == any_of({*names, *lower}), func.lower(User.email) == any_of(lower)),
        User.erased_at.is_(None),
    )
    found: dict[str, tuple[int, int | None]] = {}
    for external_id, email, number, account, merged in session.execute(query.order_by(User.id)):
        for name in filter(None, (email.lower(), (external_id or "").lower())):
            found[name] = (merged or number, account)
    return found


def _accounts(session: Session, names: set[str], who: Actor, now: datetime) -> dict[str, int]:
    def called() -> dict[str, int]:
        query = select(Account.external_id, Account.id, Account.merged_into).where(Account.external_id == any_of(names))
        return {str(name): merged or number for name, number, merged in session.execute(query)}

    found = called() if names else {}
    missing = sorted(names - set(found))
    if missing:
        sheet = Sheet(["external_id"], [(place, [each]) for place, each in enumerate(missing, start=2)])
        customers.run(session, ACCOUNT, sheet, ["external_id"], who, now=now)
        found = called()
    return found


def any_of(values: Iterable[str]) -> ColumnElement[Any]:
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


def history(record: Record, people: People, source: str, who: Actor, now: datetime) -> Walk:
    """Go through what happened to `record`; raises InputError where it breaks a rule."""
    name = (record.user or record.email).lower()
    user_id, account_id = people.users.get(name, (None, None))
    if name in people.erased:
        raise fields.wrong("user", "This customer was erased.")
    if name and user_id is None:
        raise fields.wrong("user", f"{record.user or record.email!r} cannot be a user.")
    account_id = people.accounts.get(record.account, account_id)
    if user_id is None and account_id is None:
        raise fields.wrong("user", "Say who it was: a user, an e-mail address or an account.")
    at = fields.moment(record.occurred_at, "occurred_at", now=now)
    data = _created(record, people, source) | {"user_id": user_id, "account_id": account_id}
    found = begun(Event(1, at, "created", data, now, who.member_id, None, who.key_id))
    for said in sorted(record.said, key=lambda each: each.at):
        _add(found, _said(said, people, user_id), now)
    if record.status:
        status = _one_of(record.status, words.STATUSES, "status")
        if found.state.status != status:
            ended = record.ended_at or found.events[-1].at
            _add(found, {"kind": "status", "data": {"to": status}, "at": ended, "member_id": None}, now)
    if record.csat is not None:
        told = {"score": record.csat} | ({"comment": record.comment} if record.comment else {})
        _add(found, {"kind": "csat", "data": told, "at": found.events[-1].at, "user_id": user_id}, now)
    return found


def _created(record: Record, people: People, source: str) -> dict[str, Any]:
    if record.topic and people.topics.get(record.topic) is None:
        raise fields.wrong("topic", f"{record.topic!r} cannot be a topic.")
    assignee_id = people.members.get(record.assignee.lower())
    return {
        "subject": fields.subject(record.subject[:200]),
        "kind": _one_of(record.kind, words.KINDS, "kind"),
        "channel": _one_of(record.channel, words.CHANNELS, "channel"),
        "direction": _one_of(record.direction, words.DIRECTIONS, "direction"),
        # as where it is logged: what somebody has is open
        "status": "new" if record.direction == "in" and assignee_id is None else "open",
        "priority": _one_of(record.priority, words.PRIORITIES, "priority"),
        "topic_id": people.topics.get(record.topic),
        "tags": fields.tags(record.tags),
        "assignee_id": assignee_id,
        "env_id": None,
        "source": source,
        "external_ref": clean_line(record.external_ref, "external_ref"),
        "logged_ms": None,
    }


def _one_of(value: str, choices: Mapping[str, str], field: str) -> str:
    """Return `value`, one of `choices`; who mends a file of thousands wants to read what it was."""
    if value not in choices:
        raise fields.wrong(field, f"{value[:50]!r} is none of {', '.join(choices)}.")
    return value


def _said(said: Said, people: People, user_id: int | None) -> dict[str, Any]:
    body, member_id = fields.body(said.body), people.members.get(said.author.lower())
    given: dict[str, Any] = {FILES: said.files} if said.files else {}
    if not said.public:
        return {
            "kind": "note",
            "data": {"body": body} | given,
            "at": said.at,
            "member_id": member_id,
        }
    data = {"side": said.side, "body": body, "via": "import"} | given
    customer = said.side == "customer"
    by = {"user_id": user_id} if customer else {"member_id": member_id}
    return {"kind": "message", "data": data, "at": said.at, **by}


def _add(found: Walk, given: dict[str, Any], now: datetime) -> None:
    """Append an event; within an interaction time never goes back, and nothing happens after now."""
    at = min(max(given.pop("at"), found.events[-1].at), now)
    found.add(Event(seq=len(found.events) + 1, at=at, recorded_at=now, **given))
