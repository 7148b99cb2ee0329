"""How numbers, durations and times are written on pages: the same everywhere.

The functions are pure; `install` makes them template filters that know the page's clock and the member's zone.
An absent value (None) is an en dash, never a zero: nothing measured is not the same as measured nothing.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup, escape

ABSENT = "\N{EN DASH}"
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
MINUTE, HOUR, DAY = 60, 3600, 86400
MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""By number; `strftime` takes ten times as long, and tables have a hundred times."""


def number(value: float | None, digits: int | None = None) -> str:
    """Return `value` with thousands separators; whole numbers bare, others with `digits` (default: what is needed).

    >>> number(1234567), number(0.5), number(3.14159, 1)
    ('1,234,567', '0.5', '3.1')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    if digits is not None:
        return f"{value:,.{digits}f}"
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _three(value: float) -> str:
    """Return three significant figures, never as an exponent."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def compact(value: float | None) -> str:
    """Return a count in at most four figures, for narrow places.

    >>> compact(999), compact(12_345), compact(1_250_000)
    ('999', '12.3k', '1.25M')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        # 999,950 would round up to "1000k": the next unit takes over before that
        if abs(value) >= size * 0.9995:
            return f"{_three(value / size)}{unit}"
    return number(value)


def percent(ratio: float | None, digits: int | None = None) -> str:
    """Return `ratio` (0 to 1) in per cent; small ones keep two decimals, and what is above nothing never reads 0 %.

    >>> percent(0.1234), percent(0.0012), percent(0.00001), percent(1)
    ('12.3%', '0.12%', '<0.01%', '100%')
    """
    if ratio is None or not math.isfinite(ratio):
        return ABSENT
    value = ratio * 100
    if digits is not None:
        return f"{value:,.{digits}f}%"
    if 0 < abs(value) < 0.01:
        return "<0.01%" if value > 0 else ">-0.01%"
    places = 0 if value == int(value) or abs(value) >= 100 else 2 if abs(value) < 1 else 1
    return f"{value:,.{places}f}%"


def ms(value: float | None) -> str:
    """Return a duration given in milliseconds, in the unit one would say it in.

    >>> ms(0.42), ms(12.3), ms(840), ms(1240), ms(200_000)
    ('0.42 ms', '12.3 ms', '840 ms', '1.24 s', '3 min 20 s')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    if abs(value) < 999.5:
        return f"{_three(value) if abs(value) >= 0.001 or not value else number(value, 6)} ms"
    return seconds(value / 1000)


def seconds(value: float | timedelta | None) -> str:
    """Return a duration given in seconds: the two largest units.

    >>> seconds(0.25), seconds(4.5), seconds(61), seconds(7260), seconds(200_000)
    ('250 ms', '4.5 s', '1 min 1 s', '2 h 1 min', '2 d 7 h')
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if value is None or not math.isfinite(value):
        return ABSENT
    if abs(value) < 0.9995 and value != 0:
        return ms(value * 1000)
    if abs(value) < 59.95:
        return f"{_three(value)} s"
    rest = round(abs(value))
    parts = []
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        parts.append(f"{count} {unit}" if count else "")
    first = next(place for place, part in enumerate(parts) if part)
    text = " ".join(part for part in parts[first : first + 2] if part)
    return f"-{text}" if value < 0 else text


def bytes_(value: float | None) -> str:
    """Return a size given in bytes, in decimal units.

    >>> bytes_(512), bytes_(1_500), bytes_(16_000_000)
    ('512 B', '1.5 kB', '16 MB')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    unit = BYTE_UNITS[0]
    for unit in BYTE_UNITS:
        if abs(value) < 999.5 or unit == BYTE_UNITS[-1]:
            break
        value /= 1000
    return f"{number(value) if abs(value) < 1 else _three(value)} {unit}"


def plural(count: float | None, one: str, many: str | None = None) -> str:
    """Return the count with its noun.

    >>> plural(1, "account"), plural(2, "account"), plural(0, "reply", "replies")
    ('1 account', '2 accounts', '0 replies')
    """
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def initials(name: str | None) -> str:
    """Return one or two capitals for an avatar, from a name or an address.

    >>> initials("Ada Lovelace"), initials("grace.hopper@example.com"), initials("")
    ('AL', 'GH', '?')
    """
    words = (name or "").partition("@")[0].replace(".", " ").replace("_", " ").replace("-", " ").split()
    letters = [next((letter for letter in word if letter.isalnum()), "") for word in words]
    letters = [letter for letter in letters if letter]
    return "".join(letters[:1] + letters[1:][-1:]).upper() or "?"


def exact_time(at: datetime, zone: tzinfo = UTC) -> str:
    """Return the moment to the second, with its zone: `22 Nov 2026, 14:03:07 UTC`."""
    there = at.astimezone(zone)
    day, clock = f"{there.day} {MONTHS[there.month]} {there.year}", there.time().isoformat("seconds")
    return f"{day}, {clock} {there.tzname() or ''}".rstrip()


def short_time(at: datetime, now: datetime, zone: tzinfo = UTC) -> str:
    """Return the moment as briefly as the distance allows: `14:03`, `22 Nov, 14:03` or `22 Nov 2026`."""
    there, today = at.astimezone(zone), now.astimezone(zone)
    if there.date() == today.date():
        return f"{there:%H:%M}"
    if there.year == today.year:
        return f"{there.day} {there:%b, %H:%M}"
    return f"{there.day} {there:%b %Y}"


def relative(at: datetime, now: datetime, zone: tzinfo = UTC) -> str:
    """Return how far `at` is from `now` in words; a date where it is more than 30 days away.

    >>> relative(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
    '5 min ago'
    """
    away = (now - at).total_seconds()
    size = abs(away)
    if size < 10:
        return "just now" if away >= 0 else "in a moment"
    for limit, unit, name in ((MINUTE, 1, "s"), (HOUR, MINUTE, "min"), (DAY, HOUR, "h"), (30 * DAY, DAY, "d")):
        if size < limit:
            text = f"{int(size // unit)} {name}"
            return f"{text} ago" if away >= 0 else f"in {text}"
    there = at.astimezone(zone)
    return f"{there.day} {there:%b %Y}"


def time_tag(at: datetime | None, text: str, zone: tzinfo = UTC) -> Markup:
    """Return `text` inside a `<time>` that holds the moment for programs, and to the second for who hovers."""
    if at is None:
        return Markup('<span class="muted">never</span>')
    stamp = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    exact = escape(exact_time(at, zone))
    return Markup(f'<time datetime="{stamp}" title="{exact}">{escape(text)}</time>')  # noqa: S704 - escaped; format() is slow


@dataclass(frozen=True, slots=True)
class Delta:
    """A figure's change against the period before."""

    direction: Literal["up", "down", "flat", "new"]
    text: str
    """`12%`, `0.4 pp`, or `new` where there was nothing before."""


_MOST_PERCENT = 999
"""A larger rise is told as that: the period before was hardly there."""


def delta(current: float | None, previous: float | None, points: bool = False) -> Delta | None:
    """Return the change from `previous` to `current`, or None where either is unknown or both are nothing.

    With `points` both are ratios and the change is told in percentage points, as one does with an error rate.
    """
    if current is None or previous is None or (not current and not previous):
        return None
    if not previous and not points:
        return Delta("new", "new")
    change = (current - previous) * 100 if points else (current - previous) / abs(previous) * 100
    if change > _MOST_PERCENT:
        return Delta("up", f"over {_MOST_PERCENT:,}%")
    unit = " pp" if points else "%"
    digits = 2 if points and abs(change) < 1 else 0 if abs(change) >= 10 else 1
    text = f"{abs(change):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return Delta("flat", f"0{unit}")
    return Delta("up" if change > 0 else "down", f"{text}{unit}")


def attrs(values: dict[str, Any]) -> Markup:
    """Return keyword arguments as HTML attributes: `hx_get` is `hx-get`, `class_` is `class`, True is bare.

    >>> str(attrs({"hx_get": "/a?b&c", "disabled": True, "title": None}))
    ' hx-get="/a?b&amp;c" disabled'
    """
    parts = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        plain = escape(name.rstrip("_").replace("_", "-"))
        parts.append(f" {plain}" if value is True else f' {plain}="{escape(value)}"')
    return Markup("".join(parts))  # noqa: S704 - escaped above; Markup.format is slow


def zone_called(name: str | None) -> tzinfo:
    """Return the time zone called `name`, or UTC where there is none of that name."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
