"""The forms of calendars and policies: texts and choices, from and to what the rules are."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from wtforms import BooleanField, Form, HiddenField, IntegerField, SelectField, StringField, TextAreaField
from wtforms.fields import SelectMultipleField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import Optional

from trackside.errors import InputError
from trackside.text import whole_number
from trackside_modules.support import words
from trackside_modules.support.clocks.rules import Calendar, Filter, Opening, Policy, Rules

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TARGETS = ("first_reply", "next_reply", "resolution")
_OPENING = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*(?:-|\u2013|to|until)\s*(\d{1,2})(?::(\d{2}))?")
_PART = re.compile(r"(\d{1,6}(?:\.\d{1,2})?)\s*(h|hours?|min|minutes?|m)?")
_SPACED = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LISTED = re.compile(r"[\s,;]+")


def _choices(pairs: Iterable[tuple[str, str]]) -> list[Any]:
    return [SelectChoice(value, label) for value, label in pairs]


class CalendarForm(Form):
    """When a team works."""

    version = HiddenField()
    name = StringField("Name")
    zone = SelectField("Time zone", validate_choice=False)
    monday = StringField("Monday")
    tuesday = StringField("Tuesday")
    wednesday = StringField("Wednesday")
    thursday = StringField("Thursday")
    friday = StringField("Friday")
    saturday = StringField("Saturday")
    sunday = StringField("Sunday")
    country = SelectField("Public holidays of", validate_choice=False, description="Closed on these days.")
    region = StringField(
        "Region",
        validators=[Optional()],
        description="For holidays that only it has: its short name, such as BY or CA.",
    )
    closed = TextAreaField(
        "Closed besides",
        validators=[Optional()],
        description="Days such as 2026-12-24, one on a line or parted by commas.",
    )
    worked = TextAreaField(
        "Open although a holiday",
        validators=[Optional()],
        description="Days on which the hours above hold all the same.",
    )


class PolicyForm(Form):
    """What is promised, and to whom."""

    version = HiddenField()
    name = StringField("Name")
    calendar_id = SelectField("Calendar", validate_choice=False, description="Whose hours count.")
    first_reply = StringField("First reply within", validators=[Optional()])
    next_reply = StringField("Every further reply within", validators=[Optional()])
    resolution = StringField("Solved within", validators=[Optional()])
    pauses = BooleanField(
        "Stand still while waiting for development too", description="While waiting for the customer they always do."
    )
    kinds = SelectMultipleField("Kind", choices=_choices(words.KINDS.items()))
    priorities = SelectMultipleField("Priority", choices=_choices(words.PRIORITIES.items()))
    channels = SelectMultipleField("Channel", choices=_choices(words.CHANNELS.items()))
    topics = SelectMultipleField(
        "Topic", coerce=int, validate_choice=False, description="Topics below a chosen one are taken too."
    )
    plans = StringField(
        "Plan", validators=[Optional()], description="Of the account when it was logged; several parted by commas."
    )
    tags = StringField("Tags", validators=[Optional()], description="One of these is enough; parted by commas.")


class AskingForm(Form):
    """When customers are asked for a rating."""

    on = BooleanField("Ask by mail when an interaction is solved")
    after_minutes = IntegerField("Minutes after solving", description="0 asks at once.")
    quiet_days = IntegerField("Days between two questions", description="Who was asked is left in peace for so long.")


@lru_cache(maxsize=1)
def zones() -> list[Any]:
    """Return the time zones to choose from."""
    return _choices((zone, zone.replace("_", " ")) for zone in sorted(available_timezones()) if zone != "localtime")


@lru_cache(maxsize=1)
def countries() -> list[Any]:
    """Return the countries whose public holidays are known."""
    from holidays.registry import COUNTRIES  # slow to import, and most pages have no calendar

    named = sorted((_SPACED.sub(" ", known[0]), known[1]) for known in COUNTRIES.values())
    return _choices([("", "None"), *((code, name) for name, code in named)])


def offered(form: CalendarForm | PolicyForm, rules: Rules, topics: Iterable[tuple[int, str]] = ()) -> None:
    """Give the form's lists what there is to choose from."""
    if isinstance(form, CalendarForm):
        form.zone.choices, form.country.choices = zones(), countries()
    else:
        form.topics.choices = [SelectChoice(number, path) for number, path in topics]
        form.calendar_id.choices = _choices((str(each.id), each.name) for each in rules.calendars)


def calendar_filled(calendar: Calendar) -> CalendarForm:
    """Return the form that shows a calendar."""
    data: dict[str, Any] = {
        "name": calendar.name,
        "zone": calendar.zone,
        "country": calendar.country,
        "region": calendar.region,
        "closed": "\n".join(day.isoformat() for day in calendar.closed),
        "worked": "\n".join(day.isoformat() for day in calendar.worked),
    }
    for name, openings in zip(DAYS, calendar.week, strict=True):
        data[name.lower()] = ", ".join(f"{clock(since)} - {clock(until)}" for since, until in openings)
    return CalendarForm(data=data)


def calendar_of(form: CalendarForm, calendar_id: int) -> Calendar:
    """Return the calendar that was typed; raises InputError with every problem by field."""
    problems: dict[str, str] = {}
    week = tuple(_read(problems, name.lower(), openings_of, form[name.lower()].data) for name in DAYS)
    closed, worked = (_read(problems, name, days_of, form[name].data) for name in ("closed", "worked"))
    if not problems and not any(week):
        problems["monday"] = "Open on one day of the week at least."
    _refuse(problems)
    return Calendar(
        id=calendar_id,
        name=form.name.data or "",
        zone=form.zone.data or "",
        week=week,
        country=form.country.data or "",
        region=(form.region.data or "").strip(),
        closed=closed,
        worked=worked,
    )


def policy_filled(policy: Policy) -> PolicyForm:
    """Return the form that shows a policy."""
    when = policy.when
    data: dict[str, Any] = {"name": policy.name, "calendar_id": str(policy.calendar_id)}
    data |= {name: target_words(getattr(policy, name)) for name in TARGETS}
    data |= {"kinds": list(when.kinds), "priorities": list(when.priorities), "channels": list(when.channels)}
    data |= {"topics": list(when.topics)}
    data |= {"plans": ", ".join(when.plans), "tags": ", ".join(when.tags), "pauses": "waiting_dev" in policy.pauses}
    return PolicyForm(data=data)


def policy_of(form: PolicyForm, policy_id: int) -> Policy:
    """Return the policy that was typed; raises InputError with every problem by field."""
    problems: dict[str, str] = {}
    targets = {name: _read(problems, name, target_of, form[name].data) for name in TARGETS}
    calendar = whole_number(form.calendar_id.data or "", digits=9) or 0
    if not calendar:
        problems["calendar_id"] = "Choose a calendar."
    _refuse(problems)
    lists = ("kinds", "priorities", "channels", "topics")
    chosen: dict[str, Any] = {name: tuple(form[name].data or ()) for name in lists}
    typed: dict[str, Any] = {
        name: tuple(dict.fromkeys(filter(None, (each.strip() for each in (form[name].data or "").split(",")))))
        for name in ("plans", "tags")
    }
    return Policy(
        id=policy_id,
        name=form.name.data or "",
        calendar_id=calendar,
        when=Filter(**chosen, **typed),
        pauses=("waiting_customer", "waiting_dev") if form.pauses.data else ("waiting_customer",),
        **targets,
    )


def openings_of(text: str) -> tuple[Opening, ...]:
    """Return the openings in `9:00 - 12:30, 13:30 - 17`, none of nothing; raises ValueError with what is wrong."""
    found: list[Opening] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = _OPENING.fullmatch(part)
        if match is None:
            raise ValueError("Write hours such as 9:00 - 12:30, 13:30 - 17:00.")
        hours = [int(match[place]) * 60 + int(match[place + 1] or 0) for place in (1, 3)]
        if any(int(match[place] or 0) > 59 for place in (2, 4)) or not hours[0] < hours[1] <= 24 * 60:
            night = " Write a night as 22:00 - 24:00, and 0:00 - 6:00 on the day after." if hours[0] > hours[1] else ""
            raise ValueError(f"{part} is no span of a day: it ends after it begins, by 24:00.{night}")
        if found and hours[0] <= found[-1][1]:
            raise ValueError("Write spans in order, with time between them.")
        found.append((hours[0], hours[1]))
    return tuple(found)


def days_of(text: str) -> tuple[date, ...]:
    """Return the days in `text`, sorted; raises ValueError with what is wrong."""
    found = set()
    for part in filter(None, _LISTED.split(text)):
        try:
            found.add(date.fromisoformat(part))
        except ValueError:
            raise ValueError(f"{part[:20]} is no day: write 2026-12-24.") from None
    return tuple(sorted(found))


def target_of(text: str) -> int | None:
    """Return the seconds in `4 h`, `1 h 30 min` or `90 min`, None where it is empty; raises ValueError."""
    rest, seconds = text.strip().lower(), 0.0
    if not rest:
        return None
    while rest:
        match = _PART.match(rest)
        if match is None or not match[2]:
            raise ValueError("Write a time such as 4 h, 90 min or 1 h 30 min.")
        seconds += float(match[1]) * (3600 if match[2].startswith("h") else 60)
        rest = rest[match.end() :].strip()
    return round(seconds)


def target_words(seconds: int | None) -> str:
    """Return a target as it is typed: `4 h`, `1 h 30 min`; empty for none."""
    if seconds is None:
        return ""
    hours, minutes = divmod(seconds // 60, 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def clock(minutes: int) -> str:
    """Return minutes of a day as a clock shows them: `9:00`."""
    return f"{minutes // 60}:{minutes % 60:02}"


def show_errors(form: Form, problems: Mapping[str, str], message: str) -> None:
    """Put each problem beside its field, and those without one above the form."""
    rest = []
    for name, problem in problems.items():
        field = "monday" if name == "week" else name
        if field in form:
            form[field].errors = [*form[field].errors, problem]
        else:
            rest.append(problem)
    if rest or not problems:
        form.form_errors = rest or [message]


def _read(problems: dict[str, str], name: str, read: Any, text: str | None) -> Any:
    try:
        return read(text or "")
    except ValueError as error:
        problems[name] = str(error)
        return ()


def _refuse(problems: Mapping[str, str]) -> None:
    if problems:
        raise InputError("Some of this is not right yet.", dict(problems))
