"""The fields of a flag itself, checked before they are stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.errors import InputError
from trackside.text import clean_line, is_hidden
from trackside_client.flags.cursor import FIRST_YEAR, LAST_YEAR
from trackside_modules.flags import shape
from trackside_modules.flags.storable import must_be_storable

MOST_TAGS = 20
LONGEST_TEXT = 4000


def checked(session: Session, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `name, description, type, kind, tags, owner_id, expected_end, variants, hash, facts` given.

    Raises InputError, naming every wrong one.
    """
    made: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, value in values.items():
        try:
            made[name] = CHECKS[name](session, value)
        except KeyError:
            problems[name] = "There is no such field."
        except InputError as error:
            problems |= error.fields or {name: error.message}
    if problems:
        raise InputError("; ".join(f"{name}: {what}" for name, what in problems.items()), problems)
    return made


def _name(_session: Session, value: Any) -> str:
    return clean_line(str(value), "name")


def _description(_session: Session, value: Any) -> str:
    text = str(value).strip().replace("\r\n", "\n")
    if len(text) > LONGEST_TEXT:
        raise _wrong("description", f"Use {LONGEST_TEXT:,} characters or fewer.")
    if any(is_hidden(each) and each not in "\n\t" for each in text):
        raise _wrong("description", "This holds characters that cannot be seen: type it anew.")
    return text


def _type(_session: Session, value: Any) -> str:
    return _choice("type", value, shape.TYPES)


def _kind(_session: Session, value: Any) -> str:
    return _choice("kind", value, shape.KINDS)


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise _wrong(name, f"Choose one of {', '.join(choices)}.")
    return str(value)


def _tags(_session: Session, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise _wrong("tags", "Give a list of texts.")
    tags = sorted({clean_line(each, "tags", longest=50) for each in value})
    if len(tags) > MOST_TAGS:
        raise _wrong("tags", f"Use {MOST_TAGS} tags or fewer.")
    return tags


def _owner(session: Session, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or not 0 < value < 1 << 63 or session.get(Member, value) is None:
        raise _wrong("owner_id", "There is no such member.")
    return value


def _end(_session: Session, value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None or not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise _wrong("expected_end", f"Give a time from {FIRST_YEAR} to {LAST_YEAR}, with its offset.")
    return value


def _variants(_session: Session, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise _wrong("variants", "Give one variant at least: a value by its name.")
    must_be_storable("variants", value)
    return value


def _hash(_session: Session, value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise _wrong("hash", "Give a profile, or null.")
    must_be_storable("hash", value)
    return value


def _facts(_session: Session, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(each, str | bool | int | float) for each in value.values()):
        raise _wrong("metadata", "Give texts, numbers and booleans by their names.")
    must_be_storable("metadata", value)
    return value


CHECKS = {
    "name": _name,
    "description": _description,
    "type": _type,
    "kind": _kind,
    "tags": _tags,
    "owner_id": _owner,
    "expected_end": _end,
    "variants": _variants,
    "hash": _hash,
    "facts": _facts,
}


def _wrong(name: str, message: str) -> InputError:
    return InputError(f"{name}: {message}", {name: message})
