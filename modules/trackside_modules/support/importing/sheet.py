"""Interactions from a CSV file: which column is what, and each row as a record."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from unicodedata import normalize

from trackside.customers.sheets import Stream
from trackside.errors import InputError
from trackside_modules.support.importing.records import Broken, Record, Records, Said

SYNONYMS: Mapping[str, frozenset[str]] = {
    "external_ref": frozenset(
        {"externalref", "id", "ticketid", "number", "ticket", "caseid", "ref", "conversationid", "conversation"}
    ),
    "subject": frozenset({"subject", "title", "summary", "topicline", "ticketname"}),
    "body": frozenset({"body", "description", "message", "text", "ticketdescription", "firstmessage", "preview"}),
    "reply": frozenset({"reply", "answer", "response"}),
    "note": frozenset({"note", "internalnote", "comment"}),
    "user": frozenset({"user", "userid", "customer"}),
    "email": frozenset(
        {
            "email",
            "requesteremail",
            "customeremail",
            "requester",
            "from",
            "contactemail",
            "useremail",
            "associatedcontact",
        }
    ),
    "account": frozenset({"account", "accountid", "company", "organization", "organisation", "companyid"}),
    "kind": frozenset({"kind", "type"}),
    "topic": frozenset({"topic", "category"}),
    "channel": frozenset({"channel", "via"}),
    "direction": frozenset({"direction"}),
    "status": frozenset({"status", "state", "ticketstatus"}),
    "priority": frozenset({"priority", "prio", "severity"}),
    "assignee": frozenset({"assignee", "agent", "assigneeemail", "owner", "agentemail", "assignedto", "ticketowner"}),
    "tags": frozenset({"tags", "labels"}),
    "occurred_at": frozenset(
        {
            "occurredat",
            "createdat",
            "created",
            "date",
            "openedat",
            "createdtime",
            "createdate",
            "startedat",
            "conversationstartedat",
        }
    ),
    "first_reply_at": frozenset(
        {"firstreplyat", "firstresponseat", "repliedat", "initialresponsetime", "firstagentreplydate"}
    ),
    "solved_at": frozenset({"solvedat", "resolvedat", "closedat", "closed", "resolvedtime", "closedtime", "closedate"}),
    "csat": frozenset({"csat", "rating", "score"}),
}
"""The fields a column can be, each with the names that such columns have elsewhere, letters alone."""
FIELDS = tuple(SYNONYMS)
_MEANT: Mapping[str, Mapping[str, str]] = {
    "status": {
        "resolved": "solved",
        "done": "solved",
        "fixed": "solved",
        "pending": "waiting_customer",
        "waiting": "waiting_customer",
        "hold": "waiting_dev",
        "on hold": "waiting_dev",
        "on-hold": "waiting_dev",
        "active": "open",
        "in progress": "open",
        "waiting on us": "open",
        "waiting on contact": "waiting_customer",
        "waiting on customer": "waiting_customer",
        "waiting on third party": "waiting_dev",
        "snoozed": "waiting_customer",
    },
    "priority": {"medium": "normal", "critical": "urgent", "highest": "urgent", "lowest": "low"},
    "kind": {"problem": "bug", "defect": "bug", "task": "other", "feature request": "feature", "complaint": "other"},
    "channel": {
        "e-mail": "email",
        "mail": "email",
        "voice": "phone",
        "call": "phone",
        "messaging": "chat",
        "portal": "web",
        "form": "web",
        "feedback widget": "web",
        "conversation": "chat",
    },
}
"""What values of elsewhere are called here."""
_PLAIN = ("user", "email", "account", "topic", "assignee", "status")
_WORDS = {"kind": "question", "channel": "other", "direction": "in", "priority": "normal"}


def mapping_of(columns: Sequence[str], asked: Mapping[str, str]) -> dict[str, int]:
    """Return which column, by its place, each field is read from: as `asked` (column to field), else by its name.

    Raises InputError for a column or a field that there is not, or where one that is needed is missing.
    """
    for column, field in asked.items():
        if column not in columns:
            raise _wrong(f"There is no column {column!r}: there are {', '.join(columns)}.")
        if field not in SYNONYMS and field:
            raise _wrong(f"There is no field {field!r}: choose of {', '.join(FIELDS)}, or nothing.")
    missing = lacking(fields := guess(columns, asked))
    if missing:
        raise _wrong(f"No column is {', '.join(missing)}: name them, --map COLUMN=FIELD.")
    return {field: place for place, field in enumerate(fields) if field}


def guess(columns: Sequence[str], asked: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Return which field each column is: as `asked` (column to field), else by its name; empty: none.

    One that is called as the field goes before others that may be meant: `Subject` before a `Title` to its left.
    """
    found = [asked.get(column, "") for column in columns]
    letters = ["".join(letter for letter in column.casefold() if letter.isalnum()) for column in columns]
    for by_its_own_name in (True, False):
        for place, name in enumerate(letters):
            if columns[place] in asked or found[place]:
                continue
            meant = (it for it, names in SYNONYMS.items() if name in names and it not in found)
            found[place] = next((it for it in meant if not by_its_own_name or name == it.replace("_", "")), "")
    return found


def lacking(fields: Sequence[str]) -> list[str]:
    """Return which fields that are needed no column is."""
    missing = [each for each in ("external_ref", "subject", "occurred_at") if each not in fields]
    return missing if {"user", "email", "account"} & set(fields) else [*missing, "email"]


def records(sheet: Stream, mapping: Mapping[str, int]) -> Records:
    """Yield each row as a record, or what is wrong with it."""
    width = len(sheet.columns)
    for line, cells in sheet.rows:
        if isinstance(cells, InputError):
            yield Broken(line, cells.message)
            continue
        values = {field: cells[place].strip() if place < len(cells) else "" for field, place in mapping.items()}
        try:
            if len(cells) > width:
                raise _wrong(f"it has {len(cells)} cells, the first line has {width}")
            yield _record(line, values)
        except InputError as error:
            yield Broken(line, error.message)


def moment(value: str, field: str) -> datetime:
    """Return a time as files write it, UTC where no zone is told; raises InputError."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(f"{field}: {value!r} is no time; write it like 2026-06-15T12:00:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _record(line: int, values: Mapping[str, str]) -> Record:
    given: dict[str, Any] = {name: values.get(name, "") for name in _PLAIN}
    given |= {name: values.get(name, "").lower() or usual for name, usual in _WORDS.items()}
    at = moment(values["occurred_at"], "occurred_at")
    solved = moment(values["solved_at"], "solved_at") if values.get("solved_at") else None
    given["status"] = given["status"].lower() or ("solved" if solved else "")
    given |= {name: meant.get(given[name], given[name]) for name, meant in _MEANT.items()}
    return Record(
        line=line,
        external_ref=normalize("NFC", values["external_ref"]),
        subject=values["subject"],
        occurred_at=at,
        tags=tuple(values.get("tags", "").replace(",", " ").split()),
        ended_at=solved,
        said=tuple(_said(values, at, solved)),
        csat=_score(values.get("csat", "")),
        **given,
    )


def _said(values: Mapping[str, str], at: datetime, solved: datetime | None) -> list[Said]:
    incoming = values.get("direction", "").lower() != "out"
    found = []
    if values.get("body"):
        found.append(Said(at=at, body=values["body"], side="customer" if incoming else "staff"))
    if values.get("note"):
        found.append(Said(at=at, body=values["note"], side="staff", public=False))
    replied = moment(values["first_reply_at"], "first_reply_at") if values.get("first_reply_at") else None
    if replied is not None or values.get("reply"):
        body = values.get("reply") or "(the reply was not in the file)"
        found.append(Said(at=replied or solved or at, body=body, side="staff", author=values.get("assignee", "")))
    return found


def _score(value: str) -> int | None:
    if not value:
        return None
    words = {"good": 5, "bad": 1}
    if value.lower() in words:
        return words[value.lower()]
    if value not in set("12345"):
        raise _wrong(f"csat: {value!r} is none of 1 to 5, good or bad")
    return int(value)


def _wrong(problem: str) -> InputError:
    return InputError(problem, {"file": problem})
