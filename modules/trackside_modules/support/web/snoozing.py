"""When something may come back: a few good moments, in the member's own time."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta

from trackside.errors import InputError
from trackside.web import format as fmt
from trackside.web.look import zone

MORNING = time(9)
_HOURS = timedelta(hours=3)


def choices(now: datetime) -> dict[str, tuple[str, datetime]]:
    """Return what snoozing offers by its name: in words, and until when."""
    local = now.astimezone(zone())

    def morning(days: int) -> datetime:
        return datetime.combine(local.date() + timedelta(days=days), MORNING, local.tzinfo)

    return {
        "hours": ("In 3 hours", now + _HOURS),
        "tomorrow": ("Tomorrow morning", morning(1)),
        "monday": ("Monday morning", morning(7 - local.weekday())),
        "week": ("In a week", morning(7)),
        "month": ("In 30 days", morning(30)),
    }


def snoozes(now: datetime) -> list[tuple[str, str, str]]:
    """Return the offers as a page shows them: name, words, and the day and time."""
    found = choices(now)
    if found["monday"][1] == found["tomorrow"][1] or found["monday"][1] == found["week"][1]:
        del found["monday"]
    return [
        (name, words, f"{at.astimezone(zone()):%a} {fmt.short_time(at, now, zone())}")
        for name, (words, at) in found.items()
    ]


def until_in(fields: Mapping[str, str], now: datetime) -> datetime | None:
    """Return until when a form snoozes, None for waking it; raises InputError for no time."""
    chosen = fields.get("until", "")
    if chosen == "now":
        return None
    if chosen in (offered := choices(now)):
        return offered[chosen][1]
    try:
        at = datetime.fromisoformat(fields.get("at", ""))
    except ValueError:
        raise InputError("Choose a day and a time.", {"at": "Choose a day and a time."}) from None
    return at if at.tzinfo else at.replace(tzinfo=zone())
