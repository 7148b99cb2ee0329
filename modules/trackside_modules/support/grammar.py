r"""The one line by which an interaction is logged in ten seconds, and what stands where in it.

    dev@customer.example 401 after key rotation #auth !high bug flag:new-auth

| written | means |
|---|---|
| `dev@customer.example`, `user:u_42`, `account:acme`, `@acme` | whom it is about; or the first word, a user's id |
| `#auth`, `#auth/keys`, `topic:auth` | the topic |
| `!high`, `!h`, `priority:high` | the priority; the beginning of the word is enough |
| `bug`, `kind:bug` | the kind: a bare word counts where only words with a meaning come after it |
| `flag:new-auth` | a flag it is about |
| `~phone`, `channel:phone` | the channel |
| `+vip`, `tag:vip` | a tag |
| `@@ada`, `@@me`, `assignee:ada` | who takes it |
| `direction:out` | that we began it, not the customer |
| `at:10:30`, `at:yesterday`, `at:-2h`, `at:2026-11-20T10:30` | when it was, in the writer's time zone |

All other words are the subject, in their order. What follows ` -- ` or a line's end is the customer's message. A
backslash before a word makes it plain text (`\\#1`). Nothing here asks a database: `service.reading`
says whom and what is meant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from trackside_modules.support.words import CHANNELS, DIRECTIONS, KINDS, PRIORITIES

_EMAIL = re.compile(r"[^\s@<>(),;:\"]+@[^\s@<>(),;:\"]+\.[^\s@<>(),;:\".]+")
_NAMED = re.compile(r"(user|account|topic|priority|kind|flag|channel|tag|assignee|direction|at):(\S+)", re.IGNORECASE)
_SIGILS = (("@@", "assignee"), ("@", "account"), ("#", "topic"), ("!", "priority"), ("~", "channel"), ("+", "tag"))
_STARTS_LIKE_A_NAME = re.compile(r"[^\W\d_]")
_BODY = re.compile(r"\s--\s|\n")
_AGO = re.compile(r"-(\d{1,4})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_CHOICES = {"priority": PRIORITIES, "kind": KINDS, "channel": CHANNELS, "direction": DIRECTIONS}
MOST_PROBLEMS = 10
_ONCE = frozenset({"who", "topic", "priority", "kind", "channel", "assignee", "direction", "at"})


@dataclass(frozen=True, slots=True)
class Piece:
    """A word with a meaning."""

    start: int
    end: int
    """Where it stands in the line: `line[start:end]`."""
    what: str
    """`email`, or the name before the colon of the form that is written out: `user`, `topic`, `flag` ..."""
    value: str
    """What it says, without its sign; a beginning is completed (`high` of `!h`)."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was taken apart."""

    pieces: tuple[Piece, ...]
    subject: str
    body: str
    first: str
    """The subject's first word, which may be a user's id; empty where somebody is named already."""
    problems: tuple[str, ...]
    """What was not understood, each as a sentence; the first `MOST_PROBLEMS`."""

    def one(self, what: str) -> str | None:
        """Return the value of the piece `what`, or None."""
        return next((piece.value for piece in self.pieces if piece.what == what), None)

    def all(self, what: str) -> list[str]:
        """Return the values of every piece `what`, each once, in their order."""
        return list(dict.fromkeys(piece.value for piece in self.pieces if piece.what == what))


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    text: str
    piece: Piece | None
    bare: bool = False
    """A kind without a sign: it stays in the subject where it follows plain words."""
    escaped: bool = False


def parse(text: str) -> Line:
    """Take a line apart: the inverse loses no word, each is a piece or stands in the subject or the body."""
    cut = _BODY.search(text)
    head, body = (text[: cut.start()], text[cut.end() :].strip()) if cut else (text, "")
    problems: list[str] = []
    words = _kinds(list(_words(head, problems)))
    words = _once(words, problems)
    pieces = tuple(word.piece for word in words if word.piece)
    plain = [word.text for word in words if word.piece is None or word.bare]
    named = any(piece.what in {"email", "user"} for piece in pieces)
    first = words[0].text if words and words[0].piece is None and not named else ""
    return Line(pieces, " ".join(plain), body, first, tuple(problems[:MOST_PROBLEMS]))


def moment(value: str, now: datetime, zone: tzinfo) -> datetime | None:
    """Return the time that `at:` says, or None where it says none.

    A time of day that is still to come is yesterday's; a date alone is its noon. Dates are read in `zone`.
    """
    local = now.astimezone(zone)
    if ago := _AGO.fullmatch(value):
        return now - int(ago[1]) * _UNITS[ago[2]]
    if value.lower() == "yesterday":
        return local - timedelta(days=1)
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", value):
            hour, minute = value.split(":")
            at = local.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
            return at if at <= local else at - timedelta(days=1)
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    if "T" not in value.upper():
        at = at.replace(hour=12)
    return at if at.tzinfo else at.replace(tzinfo=zone)


def _words(head: str, problems: list[str]) -> Iterator[_Word]:
    for match in re.finditer(r"\S+", head):
        start, text = match.start(), match.group()
        if text.startswith("\\") and len(text) > 1:
            yield _Word(start, text[1:], None, escaped=True)
            continue
        what, value = _meaning(text)
        if what in _CHOICES:
            value = _completed(what, value, text, problems)
        yield _Word(start, text, Piece(start, match.end(), what, value) if value else None)


def _meaning(text: str) -> tuple[str, str]:
    """Return what a word says and of what; two empty texts for a plain one."""
    if named := _NAMED.fullmatch(text):
        return named[1].lower(), named[2]
    if _EMAIL.fullmatch(text):
        return "email", text.lower()
    for sign, what in _SIGILS:
        if text.startswith(sign):
            value = text[len(sign) :]
            return (what, value) if _STARTS_LIKE_A_NAME.match(value) else ("", "")
    return "", ""


def _completed(what: str, value: str, text: str, problems: list[str]) -> str:
    """Return the choice that begins with `value`; an empty text, and a problem noted, where none or several do."""
    choices = _CHOICES[what]
    wanted = value.lower()
    fitting = [wanted] if wanted in choices else [choice for choice in choices if choice.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    problems.append(f"{text} is no {what}: write one of {', '.join(choices)}.")
    return ""


def _kinds(words: list[_Word]) -> list[_Word]:
    """Give meaning to a bare kind in the tail, where no plain word comes after it."""
    if any(word.piece and word.piece.what == "kind" for word in words):
        return words
    for index in range(len(words) - 1, -1, -1):
        word = words[index]
        if word.piece is not None:
            continue
        kind = word.text.lower()
        if kind not in KINDS or word.escaped or not index:
            return words
        piece = Piece(word.start, word.start + len(word.text), "kind", kind)
        bare = words[index - 1].piece is None
        return [*words[:index], _Word(word.start, word.text, piece, bare), *words[index + 1 :]]
    return words


def _once(words: list[_Word], problems: list[str]) -> list[_Word]:
    """Leave the first of what can be said once; a second e-mail is text, any other second is a problem."""
    seen: dict[str, str] = {}
    kept = []
    for word in words:
        what = word.piece.what if word.piece else ""
        role = "who" if what in {"email", "user"} else what
        if role in _ONCE or role == "account":
            if role in seen and what != "email":
                problems.append(f"{word.text} comes after {seen[role]}: leave one of them.")
            if role in seen:
                kept.append(_Word(word.start, word.text, None))
                continue
            seen[role] = word.text
        kept.append(word)
    return kept
