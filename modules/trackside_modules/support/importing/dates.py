"""Dates as spreadsheets and other tools write them, made ISO's before a row is read.

What can be read in one way is: ISO, year first, names of months, points between numbers, numbers of Excel and Unix. In
`03/04/2026` either number may be the day: a file tells, by one that cannot be a month, or somebody says it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import islice

from trackside.customers.sheets import Stream
from trackside.errors import InputError

DAY, MONTH, UNCLEAR = "day", "month", "unclear"
FIELDS = ("occurred_at", "first_reply_at", "solved_at")
_SAME = "same"
SAMPLE = 5000
"""Rows that are looked at to find which number is the day."""
_EXCEL = datetime(1899, 12, 30, tzinfo=UTC)
"""Day 0 of spreadsheets."""
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: at for at, name in enumerate(_NAMES, start=1)}
_TIME = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d{1,9})?)?\s*(?P<half>[ap]\.?m\.?)?"
    r"\s*\(?(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d\d:?\d\d)?\)?",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(\d{1,4})([/.\-])(\d{1,2})\2(\d{4}|\d{1,2})(?!\d)")
_NAMED = re.compile(
    r"(?:[a-z]{3,9},?\s+)?(?:(?P<day>\d{1,2})[\s\-]+(?P<month>[a-z]{3,9})\.?|(?P<month2>[a-z]{3,9})\.?\s+(?P<day2>\d{1,2})"
    r"(?:st|nd|rd|th)?)[\s,\-]+(?P<year>\d{4})(?!\d)",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\d{5}(?:[.,]\d+)?|\d{10}|\d{13}")


@dataclass(frozen=True, slots=True)
class Dates:
    """How the dates of a file are to be read."""

    order: str = ""
    """`day` or `month`: which comes first, where both are numbers; empty: as the file tells."""
    zone: tzinfo = UTC
    """Of what tells none itself."""


def order_in(sheet: Stream, mapping: Mapping[str, int]) -> str:
    """Return whether days or months come first in a file; empty: it has no such dates, `unclear`: it does not tell."""
    places = [mapping[field] for field in FIELDS if field in mapping]
    rows = (cells for _, cells in islice(sheet.rows, SAMPLE) if not isinstance(cells, InputError))
    return order_of(cells[place] for cells in rows for place in places if place < len(cells))


def order_of(cells: Iterable[str]) -> str:
    """Return as `order_in` does, of some dates."""
    found: set[str] = set()
    for cell in cells:
        numbers = _NUMBERS.match(cell)
        if numbers and numbers[2] != "." and len(numbers[1]) < 3:
            found.add(_told_by(int(numbers[1]), int(numbers[3]), numbers[4]))
    told = found - {"", _SAME}
    found -= {_SAME}
    return told.pop() if len(told) == 1 else UNCLEAR if found else ""


def _told_by(first: int, second: int, year: str) -> str:
    """Return which comes first by one date; "" where it does not tell, `_SAME` where nothing hangs on it."""
    if first == second and len(year) == 4:
        return _SAME
    if second > 12 >= first:
        return MONTH
    # 26/11/23 may begin with the year
    return DAY if first > 12 >= second and (len(year) == 4 or int(year) > 31) else ""


def in_iso(sheet: Stream, mapping: Mapping[str, int], how: Dates) -> Stream:
    """Return `sheet` with its dates as ISO writes them; one that cannot be read stays, and its row is refused later."""
    places = [(field, mapping[field]) for field in FIELDS if field in mapping]
    return replace(sheet, rows=_rows(sheet, places, how))


def _rows(sheet: Stream, places: list[tuple[str, int]], how: Dates) -> Iterator[tuple[int, list[str] | InputError]]:
    for line, cells in sheet.rows:
        if isinstance(cells, list):
            problem = _read(cells, places, how)
            yield line, InputError(problem, {"dates": problem}) if problem else cells
        else:
            yield line, cells


def _read(cells: list[str], places: list[tuple[str, int]], how: Dates) -> str:
    """Write the dates in `cells` as ISO does; return what is wrong with one that can be read in two ways."""
    for field, place in places:
        if place < len(cells) and cells[place]:
            try:
                found = moment(cells[place], how)
            except EitherWay as error:
                return f"{field}: {error} may begin with the day or with the month: say which"
            cells[place] = found.isoformat() if found else cells[place]
    return ""


class EitherWay(Exception):
    """A date that can be read in two ways."""


def moment(text: str, how: Dates) -> datetime | None:
    """Return a time as spreadsheets and other tools write it, None where it is none."""
    text = text.strip()
    try:
        if _COUNT.fullmatch(text):
            return _counted(text, how.zone)
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return _written(text, how)
        return found if found.tzinfo else found.replace(tzinfo=how.zone)
    except (ValueError, OverflowError):
        return None


def _counted(text: str, zone: tzinfo) -> datetime:
    """Return the moment that a number of days in a spreadsheet stands for, or of seconds or milliseconds of Unix."""
    if len(text) == 10 and text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    if len(text) == 13 and text.isdigit():
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    found = _EXCEL + timedelta(seconds=round(float(text.replace(",", ".")) * 86400))
    return found.replace(tzinfo=zone)


def _written(text: str, how: Dates) -> datetime | None:
    date, rest = _date(text, how.order)
    if date is None:
        return None
    year, month, day = date
    year += 0 if year > 99 else 2000 if year < 70 else 1900
    rest = rest.strip(" ,T\t\u00a0\u202f")
    if not rest:
        return datetime(year, month, day, tzinfo=how.zone)
    found = _TIME.fullmatch(rest.replace("\u202f", " ").replace("\u00a0", " "))
    if found is None:
        return None
    hour, half = int(found["hour"]), (found["half"] or "").lower()[:1]
    if half and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + (12 if half == "p" else 0) if half else hour
    zone = _zone(found["zone"] or "", how.zone)
    return datetime(year, month, day, hour, int(found["minute"]), int(found["second"] or 0), tzinfo=zone)


def _date(text: str, order: str) -> tuple[tuple[int, int, int] | None, str]:
    """Return year, month and day at the beginning of `text`, and what follows them."""
    if numbers := _NUMBERS.match(text):
        first, second, third = int(numbers[1]), int(numbers[3]), int(numbers[4])
        if len(numbers[1]) == 4:
            return (first, second, third), text[numbers.end() :]
        if len(numbers[1]) == 3 or len(numbers[4]) == 1:
            return None, ""
        if numbers[2] != "." and not order and _told_by(first, second, numbers[4]) == "" and second <= 12:
            raise EitherWay(repr(text[:40]))
        by_day = numbers[2] == "." or order == DAY or (not order and first > 12)
        return (third, second, first) if by_day else (third, first, second), text[numbers.end() :]
    if named := _NAMED.match(text):
        month = _MONTHS.get((named["month"] or named["month2"])[:3].lower())
        day = int(named["day"] or named["day2"])
        return ((int(named["year"]), month, day) if month else None), text[named.end() :]
    return None, ""


def _zone(text: str, usual: tzinfo) -> tzinfo:
    if not text:
        return usual
    found = re.search(r"([+-])(\d\d):?(\d\d)$", text)
    if found is None:
        return UTC
    ahead = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(ahead if found[1] == "+" else -ahead)
