"""Filters as people type them: `status:open topic:auth user:u_42 assignee:me -tag:bug key rotation`.

What is no chip is searched for. A chip whose value means nothing here is said, and then nothing is found: leaving it
out would show what nobody asked for.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.errors import InputError
from trackside_modules.support import words
from trackside_modules.support.lookup import people
from trackside_modules.support.lookup import topics as named
from trackside_modules.support.queries.filters import NOTHING, Filter
from trackside_modules.support.tracking import address

_CHIP = re.compile(r'(?<!\S)(-?)([a-z_]+):("[^"]*"|\S+)')
LONGEST = 500
_NOT_NOT = re.compile(r'(?:-[^\w"-]*){9,}')
"""PostgreSQL has no room for more than some sixty of them, one after the other."""
_AGO = re.compile(r"(\d{1,4})([dwh])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Chip:
    """One condition, as it was typed."""

    name: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        value = f'"{self.value}"' if " " in self.value else self.value
        return f"{'-' if self.negated else ''}{self.name}:{value}"


@dataclass(slots=True)
class Asked:
    """What was typed, understood."""

    chips: list[Chip] = field(default_factory=list)
    text: str = ""
    """What is searched for."""
    filter: Filter = field(default_factory=Filter)
    problems: list[str] = field(default_factory=list)

    def must(self, name: str) -> Filter:
        """Return the filter; raises InputError for the field `name` where a chip means nothing."""
        if self.problems:
            raise InputError(" ".join(self.problems), {name: " ".join(self.problems)})
        return self.filter

    def __str__(self) -> str:
        return " ".join([*map(str, self.chips), *([self.text] if self.text else [])])


class _Unknown(Exception):
    """A chip's value that means nothing; the text says what to do."""


@dataclass(frozen=True, slots=True)
class _Asker:
    session: Session
    member_id: int | None
    now: datetime


def parse(typed: str) -> tuple[list[Chip], str]:
    """Return the chips in `typed`, and the words between them; what looks like a chip of another kind is a word."""
    chips: list[Chip] = []

    def take(found: re.Match[str]) -> str:
        if found[2] not in CHIPS:
            return found[0]
        chips.append(Chip(found[2], found[3].strip('"'), bool(found[1])))
        return " "

    clean = "".join(each if each.isprintable() else " " for each in typed[:LONGEST])
    words_ = _NOT_NOT.sub("-", _CHIP.sub(take, clean))
    return chips, " ".join(words_.split())


def ask(session: Session, typed: str, *, now: datetime, member_id: int | None = None) -> Asked:
    """Return what `typed` asks for; `member_id` is `me`."""
    chips, rest = parse(typed)
    asked = Asked(chips, rest)
    asker = _Asker(session, member_id, now)
    together: dict[str, list[Any]] = {}
    for chip in chips:
        try:
            found = CHIPS[chip.name](asker, chip.value)
        except _Unknown as problem:
            asked.problems.append(f"{chip}: {problem}")
            continue
        if chip.negated:
            asked.filter = replace(asked.filter, without=(*asked.filter.without, Filter(**found)))
        else:
            for name, value in found.items():
                together.setdefault(name, []).append(value)
    given = {name: _joined(name, values) for name, values in together.items()}
    asked.filter = replace(asked.filter, text=rest, **given) if not asked.problems else NOTHING
    return asked


def _joined(name: str, values: list[Any]) -> Any:
    """Return what several chips of one name mean together: either, but for tags and links, which are all meant."""
    if isinstance(values[0], tuple):
        return tuple(dict.fromkeys(each for value in values for each in value))
    return values[-1]


def _word(name: str, choices: Mapping[str, str]) -> Callable[[_Asker, str], dict[str, Any]]:
    def found(_asker: _Asker, value: str) -> dict[str, Any]:
        wanted = tuple(each for each in value.lower().split(",") if each)
        if not wanted or any(each not in choices for each in wanted):
            raise _Unknown(f"choose of {', '.join(choices)}.")
        return {name: wanted}

    return found


def _status(asker: _Asker, value: str) -> dict[str, Any]:
    groups = {"active": words.ACTIVE, "waiting": ("waiting_customer", "waiting_dev"), "done": ("solved", "closed")}
    return {"status": groups[value]} if value in groups else _word("status", words.STATUSES)(asker, value)


def _topic(asker: _Asker, value: str) -> dict[str, Any]:
    if value == "none":
        return {"topic_ids": ()}
    found = named.find(asker.session, value)
    if found is None:
        raise _Unknown("there is no such topic.")
    return {"topic_ids": tuple(named.below(asker.session, found.id))}


def _assignee(asker: _Asker, value: str) -> dict[str, Any]:
    if value == "none":
        return {"assignee_ids": (None,)}
    if value == "me":
        if asker.member_id is None:
            raise _Unknown("nobody is signed in here: give a member's e-mail address.")
        return {"assignee_ids": (asker.member_id,)}
    text = value.lower()
    same = func.lower(Member.email) == text, func.lower(Member.name) == text
    found = tuple(asker.session.scalars(select(Member.id).where(same[0] | same[1])))
    if not found:
        raise _Unknown("there is no such member: give their e-mail address.")
    return {"assignee_ids": found}


def _user(asker: _Asker, value: str) -> dict[str, Any]:
    found = people.find_user(asker.session, value)
    if found is None:
        raise _Unknown("there is no such user.")
    return {"user_ids": (found.id,)}


def _account(asker: _Asker, value: str) -> dict[str, Any]:
    found = people.find_account(asker.session, value.removeprefix("@"))
    if found is None:
        raise _Unknown("there is no such account.")
    return {"account_ids": (found.id,)}


def _tag(_asker: _Asker, value: str) -> dict[str, Any]:
    return {"tags": (value.lower(),)}


def _link(kind: str) -> Callable[[_Asker, str], dict[str, Any]]:
    kept = address if kind == "url" else str
    return lambda _asker, value: {"links": ((kind, kept(value)),)}


def _source(_asker: _Asker, value: str) -> dict[str, Any]:
    return {"source": value}


def _moment(name: str) -> Callable[[_Asker, str], dict[str, Any]]:
    def found(asker: _Asker, value: str) -> dict[str, Any]:
        ago = _AGO.fullmatch(value)
        if ago:
            return {name: asker.now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})}
        try:
            day = datetime.fromisoformat(value)
        except ValueError:
            raise _Unknown("give a day like 2026-11-23, or 7d for seven days ago.") from None
        return {name: day if day.tzinfo else day.replace(tzinfo=UTC)}

    return found


_IS: Mapping[str, dict[str, Any]] = {
    "open": {"status": words.ACTIVE},
    "snoozed": {"snoozed": True},
    "awake": {"snoozed": False},
    "unassigned": {"assignee_ids": (None,)},
    "waiting": {"waiting": True},
    "untold": {"untold": True},
    "reopened": {"reopened": True},
    "merged": {"merged": True},
}


def _is(_asker: _Asker, value: str) -> dict[str, Any]:
    if value not in _IS:
        raise _Unknown(f"choose of {', '.join(_IS)}.")
    return _IS[value]


CHIPS: dict[str, Callable[[_Asker, str], dict[str, Any]]] = {
    "status": _status,
    "kind": _word("kind", words.KINDS),
    "channel": _word("channel", words.CHANNELS),
    "priority": _word("priority", words.PRIORITIES),
    "topic": _topic,
    "assignee": _assignee,
    "user": _user,
    "account": _account,
    "tag": _tag,
    "flag": _link("flag"),
    "link": _link("url"),
    "source": _source,
    "since": _moment("since"),
    "before": _moment("before"),
    "is": _is,
}
"""What each chip means, as fields of `Filter`."""
