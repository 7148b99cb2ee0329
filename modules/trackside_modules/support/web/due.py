"""What is due, as lists and threads draw it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.orm import Session

from trackside.web import format as fmt
from trackside.web.look import now, zone
from trackside_modules.support.models import Metric
from trackside_modules.support.queries import due as reading
from trackside_modules.support.queries.due import CLOCKS
from trackside_modules.support.web.base import blueprint

SOON = timedelta(hours=1)
Kind = Literal["ok", "warn", "bad"]


@blueprint.app_template_filter()
def business(seconds: float | None) -> str:
    """Return business time: in hours, however many, since a day of it is no fixed length.

    >>> business(45), business(3412), business(95_000)
    ('45 s', '57 min', '26 h 23 min')
    """
    if seconds is None or seconds < 60:
        return fmt.seconds(seconds)
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


@dataclass(frozen=True, slots=True)
class Due:
    """A promise as one reads it: `2 h`, `3 h late`, `took 20 min`."""

    label: str
    kind: Kind
    text: str
    title: str


def next_dues(session: Session, numbers: Sequence[int]) -> dict[int, Due | None]:
    """Return what is due next in each of the interactions `numbers`; None where nothing is."""
    found = reading.due(session, numbers, now())
    return {number: _running(each.words, each.at) if each.at is not None else None for number, each in found.items()}


def dues_of(session: Session, number: int) -> list[Due]:
    """Return every promise of an interaction, those that run and those that are over."""
    found = reading.metric(session, number)
    return list(_every(found)) if found is not None else []


def _every(found: Metric) -> Iterator[Due]:
    for clock, label in CLOCKS.items():
        at, seconds = getattr(found, f"{clock}_due"), getattr(found, f"{clock}_s")
        missed: bool | None = getattr(found, f"{clock}_missed")
        if at is not None:
            yield _running(label, at)
        elif seconds is not None:
            kept = "" if missed is None else ", too late" if missed else ", in time"
            title = f"{label}: {business(seconds)} of business time{kept}"
            yield Due(label, "bad" if missed else "ok", business(seconds), title)
        elif missed:
            yield Due(label, "bad", "missed", f"{label}: its time had run out")


def _running(label: str, at: datetime) -> Due:
    moment, local = now(), zone()
    late = at < moment
    away = fmt.relative(at, moment, local).removesuffix(" ago").removeprefix("in ")
    kind: Kind = "bad" if late else "warn" if at - moment < SOON else "ok"
    return Due(label, kind, f"{away} late" if late else away, f"{label} due {fmt.exact_time(at, local)}")
