"""Dates and times as text: RFC 3339, in Python 3.10 too, where `fromisoformat` reads little of it."""

import re
from datetime import datetime, timedelta, timezone
from typing import Any

_SHAPE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d)))?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LONGEST = 40


def parse_moment(text: str) -> datetime | None:
    """Return the moment a text names, in UTC: RFC 3339, or a date alone (its first moment in UTC); None for others."""
    found = _SHAPE.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups(default="0")
    away = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    try:
        date, time = (int(year), int(month), int(day)), (int(hour), int(minute), int(second))
        return datetime(*date, *time, int(f"{fraction:0<6}"[:6]), tzinfo=timezone.utc) - away
    except (ValueError, OverflowError):
        return None


def moment_of(value: Any) -> datetime | None:
    """Return the moment a context's value means: a text, or milliseconds since 1970; None where it means none."""
    if isinstance(value, str):
        return parse_moment(value)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except (OverflowError, ValueError):
        return None
