"""Zendesk's JSON export: a ticket a line, a list of tickets, or `{"tickets": [...], "users": [...]}`; with comments."""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO
from unicodedata import normalize

import msgspec

from trackside.errors import InputError
from trackside_modules.support.importing.beside import Beside
from trackside_modules.support.importing.records import Broken, Record, Records, Said
from trackside_modules.support.importing.sheet import moment

_STATUS = {"pending": "waiting_customer", "hold": "waiting_dev"}
_KIND = {"problem": "bug", "incident": "incident", "task": "other"}
_CHANNEL = {
    "email": "email",
    "web": "web",
    "chat": "chat",
    "messaging": "chat",
    "native_messaging": "chat",
    "voice": "phone",
    "api": "api",
}
_SCORE = {"good": 5, "good_with_comment": 5, "bad": 1, "bad_with_comment": 1}
MOST_WHOLE = 64 << 20
"""Bytes of an export that is one document."""
MOST_LINE = 16 << 20
"""Bytes of a ticket."""
_ENDED = ("solved", "closed")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
People = dict[int, Mapping[str, Any]]


def records(file: BinaryIO, beside: Beside | None = None) -> Records:
    """Yield each ticket as a record, or what is wrong with it; the line is the ticket's place in a list.

    Tickets that stand each on a line of its own are read one by one; a single document is held whole, so that one may
    have `MOST_WHOLE` bytes. `beside` finds files of messages; others are linked. Raises InputError for more, and for
    what holds no tickets.
    """
    people: People = {}
    for line, ticket in _tickets(file, people):
        if isinstance(ticket, Broken):
            yield ticket
        elif not isinstance(ticket, dict):
            yield Broken(line, "this is no ticket: an object is expected")
        elif ticket.get("status") == "deleted":
            yield Broken(line, "it was deleted at Zendesk: nothing but its number is left")
        else:
            try:
                yield _record(line, ticket, people, beside)
            except (InputError, KeyError, TypeError, AttributeError, ValueError) as error:
                said = error.message if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                yield Broken(line, f"this is no ticket that can be read: {said}")


def _tickets(file: BinaryIO, people: People) -> Iterator[tuple[int, Any]]:
    file.seek(0)
    if _stands_alone(file.readline(MOST_LINE)):
        file.seek(0)
        yield from _lines(file)
        return
    file.seek(0)
    content = file.read(MOST_WHOLE + 1)
    if len(content) > MOST_WHOLE:
        raise InputError(
            f"An export that is one document may have {MOST_WHOLE >> 20} MiB: write a ticket a line (JSON Lines), as"
            " Zendesk's own full export does.",
            {"file": "is too large for one document"},
        )
    try:
        whole = msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8))
    except UNREADABLE:
        file.seek(0)
        yield from _lines(file)
        return
    if isinstance(whole, dict):
        users = whole.get("users")
        _know(people, *(users if isinstance(users, list) else ()))
        whole = whole.get("tickets", [whole])
    if not isinstance(whole, list):
        raise InputError("This is no export of Zendesk: tickets are expected.", {"file": "holds no tickets"})
    yield from enumerate(whole, start=1)


def _stands_alone(line: bytes) -> bool:
    """Whether a first line is a whole ticket."""
    try:
        found = msgspec.json.decode(line.removeprefix(codecs.BOM_UTF8))
    except UNREADABLE:
        return False
    return isinstance(found, dict) and "tickets" not in found


def _lines(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b""), start=1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line.removeprefix(codecs.BOM_UTF8))
            except UNREADABLE as error:
                yield number, Broken(number, f"this line is no JSON: {error}")


def _know(people: People, *users: Any) -> None:
    people.update({each["id"]: each for each in users if isinstance(each, dict) and isinstance(each.get("id"), int)})


def _record(line: int, ticket: Mapping[str, Any], people: People, beside: Beside | None) -> Record:
    comments = list(ticket.get("comments") or ())
    _know(people, *(ticket.get(each) for each in ("requester", "assignee", "submitter")))
    _know(people, *(each.get("author") for each in comments))
    copied = ticket.get("email_cc_ids") or ticket.get("collaborator_ids") or ()
    requester = int(ticket.get("requester_id") or (ticket.get("requester") or {})["id"])
    assignee = ticket.get("assignee_id") or (ticket.get("assignee") or {}).get("id")
    email = (people.get(requester) or {}).get("email") or ""
    at = moment(ticket["created_at"], "created_at")
    rated = ticket.get("satisfaction_rating") or {}
    status = str(ticket.get("status") or "new")
    opening = [Said(at=at, body=ticket["description"])] if not comments and ticket.get("description") else []
    return Record(
        line=line,
        external_ref=normalize("NFC", str(ticket["id"]).strip()),
        subject=str(ticket.get("subject") or ticket.get("raw_subject") or "(no subject)"),
        occurred_at=at,
        user="" if email else f"zendesk:{requester}",
        email=email,
        kind=_KIND.get(str(ticket.get("type")), "question"),
        channel=_CHANNEL.get(str((ticket.get("via") or {}).get("channel")), "other"),
        priority=str(ticket.get("priority") or "normal"),
        assignee=str((people.get(int(assignee)) or {}).get("email") or "") if assignee else "",
        tags=tuple(map(str, ticket.get("tags") or ())),
        status=_STATUS.get(status, status),
        ended_at=_ended(ticket) if status in _ENDED else None,
        said=tuple(opening + [_said(each, requester, copied, people, beside) for each in comments]),
        csat=_SCORE.get(str(rated.get("score"))),
        comment=str(rated.get("comment") or ""),
    )


def _said(
    comment: Mapping[str, Any], requester: int, copied: Sequence[int], people: People, beside: Beside | None
) -> Said:
    author = int(comment.get("author_id") or comment["author"]["id"])
    # who has a copy and is not known to be of the staff is the customer's colleague: theirs is no first reply
    role = (people.get(author) or {}).get("role") or ("end-user" if author in copied else "")
    customer = author == requester or role == "end-user"
    given = [each for each in comment.get("attachments") or () if isinstance(each, dict)]
    there = beside.of(given) if beside else {}
    return Said(
        at=moment(comment["created_at"], "created_at"),
        body=_body(comment, [each for place, each in enumerate(given) if place not in there]),
        files=tuple(there.values()),
        side="customer" if customer else "staff",
        public=bool(comment.get("public", True)),
        author="" if customer else str((people.get(author) or {}).get("email") or ""),
    )


def _body(comment: Mapping[str, Any], elsewhere: Sequence[Mapping[str, Any]]) -> str:
    """Return what was said, and below it links to files of which an export has the addresses alone."""
    body = str(comment.get("plain_body") or comment.get("body") or "(empty)")
    links = [_link(each) for each in elsewhere]
    return "\n\n".join([body, "Files at Zendesk, which were not copied:\n" + "\n".join(links)]) if links else body


def _link(file: Mapping[str, Any]) -> str:
    name = re.sub(r"([\\\[\]<>*_`!])", r"\\\1", " ".join(str(file.get("file_name") or "file").split()))
    size, url = file.get("size"), str(file.get("content_url") or "")
    told = f" ({size:,} bytes)" if isinstance(size, int) else ""
    plain = url.startswith("https://") and not re.search(r"[\s<>\\]", url)
    return f"- [{name}](<{url}>){told}" if plain else f"- {name}{told}"


def _ended(ticket: Mapping[str, Any]) -> datetime | None:
    measured = ticket.get("metric_set") or ticket.get("metrics") or {}
    found = measured.get("solved_at") or ticket.get("solved_at") or ticket.get("updated_at")
    return moment(found, "solved_at") if found else None
