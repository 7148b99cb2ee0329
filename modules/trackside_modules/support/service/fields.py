"""What an interaction's fields may hold: checked in one place, said in the form's words."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.errors import InputError
from trackside.text import clean_line, is_hidden
from trackside_modules.support import words
from trackside_modules.support.tracking import address

LONGEST_BODY = 200_000
MOST_TAGS = 30
MOST_LINKS = 50
"""That one may be logged with."""
LONGEST_TAG = 50
EARLIEST_YEAR = 2000
_LINE_BREAKS = "\n\t"


def one_of(value: str, choices: Mapping[str, str], field: str) -> str:
    """Return `value`, one of `choices`; raises InputError naming them."""
    if value not in choices:
        raise wrong(field, f"Choose one of {', '.join(choices)}.")
    return value


def wrong(field: str, problem: str) -> InputError:
    """Return an InputError that says `problem` of `field`."""
    return InputError(f"{field}: {problem}", {field: problem})


def subject(value: str) -> str:
    """Return a subject as one line."""
    return clean_line(value, "subject")


def body(value: str, *, empty: bool = False, field: str = "body") -> str:
    """Return Markdown as it is kept: without line ends of other systems and blanks around it.

    Raises InputError where it is empty (unless `empty`), too long, or holds what cannot be seen.
    """
    clean = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not clean and not empty:
        raise wrong(field, "Write something.")
    if len(clean) > LONGEST_BODY:
        raise wrong(field, f"Use {LONGEST_BODY:,} characters or fewer, or attach it as a file.")
    # most texts have nothing to look at one by one
    plain = clean.replace("\n", "").replace("\t", "").isprintable()
    if not plain and any(is_hidden(each) and each not in _LINE_BREAKS for each in clean if not each.isprintable()):
        clean = "".join(each for each in clean if each in _LINE_BREAKS or each == "\u200d" or not is_hidden(each))
    return clean


def tags(values: Iterable[str]) -> list[str]:
    """Return tags in lower case, each once, in order; raises InputError for too many or too long ones."""
    clean = sorted({clean_line(each, "tags", longest=LONGEST_TAG).lower().replace(" ", "-") for each in values})
    if len(clean) > MOST_TAGS:
        raise wrong("tags", f"Use {MOST_TAGS} tags or fewer.")
    return clean


def link(kind: str, ref: str) -> tuple[str, str]:
    """Return a link as it is kept; raises InputError for what is no address, flag key or number."""
    one_of(kind, words.LINKS, "kind")
    ref = clean_line(ref, "ref", longest=2000)
    if kind == "url" and not ref.lower().startswith(("https://", "http://")):
        raise wrong("ref", "Give the whole address, beginning with https://.")
    if kind == "url":
        ref = address(ref)
    if kind == "interaction":
        number = words.number_of(ref)
        if number is None:
            raise wrong("ref", "Give the number of an interaction, like SUP-123.")
        ref = str(number)
    return kind, ref


def moment(value: datetime, field: str, *, now: datetime) -> datetime:
    """Return when something happened; raises InputError for what is to come or is beyond belief."""
    if value.tzinfo is None:
        raise wrong(field, "Say in which time zone.")
    if value > now + timedelta(minutes=5):
        raise wrong(field, "This is in the future.")
    if value.year < EARLIEST_YEAR:
        raise wrong(field, f"This is before {EARLIEST_YEAR}.")
    return min(value, now)


def later(value: datetime, field: str, *, now: datetime) -> datetime:
    """Return a time to come, within a year; raises InputError."""
    if value.tzinfo is None:
        raise wrong(field, "Say in which time zone.")
    if not now < value <= now + timedelta(days=366):
        raise wrong(field, "Choose a time within the next year.")
    return value


def member_called(session: Session, email: str) -> int | None:
    """Return the id of the member with this address who may still sign in, None for no address; raises InputError."""
    if not email:
        return None
    query = select(Member.id).where(Member.email == email.strip().lower(), Member.disabled_at.is_(None))
    found = session.scalar(query)
    if found is None:
        message = f"No member has the address {email!r}."
        raise InputError(message, {"assignee": message})
    return found


def member(session: Session, member_id: int | None, field: str = "assignee") -> int | None:
    """Return the id of a member who may still sign in, or None for nobody; raises InputError."""
    if member_id is None:
        return None
    found = session.scalar(select(Member.id).where(Member.id == member_id, Member.disabled_at.is_(None)))
    if found is None:
        raise wrong(field, "There is no such member, or they were disabled.")
    return found
