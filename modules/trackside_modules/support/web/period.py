"""What a report is asked for in its address: the period and what narrows it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask import request

from trackside.db import db
from trackside.errors import InputError, NotFound
from trackside.text import whole_number
from trackside.web.look import now, zone
from trackside_modules.support import words
from trackside_modules.support.models import Topic
from trackside_modules.support.queries.cells import NO_TOPIC, Asked

RANGES = {"7d": 7, "30d": 30, "90d": 90, "365d": 365}
DEFAULT = "30d"
LONGEST = 3700
"""Days."""
NONE = "none"
"""Instead of a topic: what has none."""


@dataclass(frozen=True, slots=True)
class Period:
    """A report's period, as it was asked for."""

    asked: Asked
    name: str
    """One of `RANGES`, or empty for chosen days."""
    first: date
    last: date
    """Included."""
    kept: dict[str, Any]
    """The parameters that links to other pages keep."""
    topic: Topic | None

    @property
    def label(self) -> str:
        """The period as people say it."""
        if self.name:
            return f"{RANGES[self.name]} days"
        return f"{self.first.day} {self.first:%b %Y} to {self.last.day} {self.last:%b %Y}"

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def zone_name(self) -> str:
        """The member's zone, in which its days begin."""
        return getattr(zone(), "key", None) or "UTC"


def ask_period() -> Period:
    """Return what the address asks for; raises InputError for what makes no sense, NotFound for a topic that is not."""
    today = now().astimezone(zone()).date()
    since, until = _given("from"), _given("to")
    name = one_of("range", RANGES, "" if since or until else DEFAULT)
    if name:
        first, last = today - timedelta(days=RANGES[name] - 1), today
    else:
        first, last = _day("from", since), _day("to", until) if until else today
        if not first <= last <= today or (last - first).days > LONGEST:
            message = "must be a day before `to`, which must not lie in the future"
            raise InputError(f"The period is none: `from` {message}.", {"from": message})
    topic_id = NO_TOPIC if _given("topic") == NONE else whole("topic")
    account_id, alone = whole("account"), bool(topic_id and one_of("below", ("no",)))
    topic = db.session().get(Topic, topic_id) if topic_id else None
    if topic_id and topic is None:
        raise NotFound("There is no such topic.")
    asked = Asked(
        _midnight(first),
        _midnight(last + timedelta(days=1)),
        now(),
        topic_id,
        alone,
        one_of("kind", words.KINDS),
        one_of("channel", words.CHANNELS),
        account_id,
    )
    kept = {"range": name if name and name != DEFAULT else None, "account": account_id}
    kept |= {"topic": NONE if topic_id == NO_TOPIC else topic_id, "below": "no" if alone else None}
    kept |= {"kind": asked.kind or None, "channel": asked.channel or None}
    kept |= {} if name else {"from": since, "to": until or None}
    return Period(asked, name, first, last, kept, topic)


def one_of(name: str, choices: Any, default: str = "") -> str:
    """Return one of `choices` of the URL; raises InputError, naming them, for anything else."""
    found = _given(name) or default
    if found and found not in choices:
        message = f"choose one of {', '.join(choices)}"
        raise InputError(f"There is no {name} {found[:20]!r}: {message}.", {name: message})
    return found


def whole(name: str, most: int = (1 << 63) - 1) -> int | None:
    """Return a whole number of the URL, None where there is none; raises InputError for anything else."""
    raw = _given(name)
    if not raw:
        return None
    found = whole_number(raw, digits=19)
    if found is None or found > most:
        raise InputError(f"The filter `{name}` must be a number.", {name: "must be a number"})
    return found


def _given(name: str) -> str:
    found = request.args.getlist(name)
    if len(found) > 1:
        raise InputError(f"`{name}` is in the address {len(found)} times: give it once.", {name: "is given twice"})
    return found[0].strip() if found else ""


def _day(name: str, given: str) -> date:
    try:
        day = date.fromisoformat(given)
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2200:
        raise InputError(f"`{name}` must be a day such as 2026-11-22.", {name: "must be a day such as 2026-11-22"})
    return day


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), zone()).astimezone(UTC)
