"""Brute force: an interaction lived through minute by minute, by the clock on the wall.

Nothing of the code that measures is used for it, only the shapes of what it is given: events, calendars, policies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from trackside_modules.support.clocks.rules import Calendar, Policy
from trackside_modules.support.history import Event

Row = dict[str, Any]
MINUTE, NONE = timedelta(minutes=1), timedelta()
HOLIDAYS = {
    ("", ""): (),
    ("DE", "BY"): ((4, 3), (4, 6), (5, 1), (5, 14), (5, 25), (10, 3), (11, 1)),
    ("AU", "NSW"): ((4, 3), (4, 4), (4, 5), (4, 6), (4, 25), (4, 27), (10, 5)),
    ("US", ""): ((5, 25), (10, 12), (11, 11), (11, 26)),
}
"""Month and day of what is closed there from the middle of March to November 2026."""
CLOCKS = ("first_reply", "next_reply", "resolution")
OURS, ENDED, OVER = ("new", "open"), ("solved", "closed"), ("solved", "closed", "spam")


class Wall:
    """When a calendar is open, by the clock on the wall."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar, self.zone = calendar, ZoneInfo(calendar.zone)
        self.known: dict[datetime, bool] = {}

    def is_open(self, at: datetime) -> bool:
        minute = at.replace(second=0, microsecond=0)
        if minute not in self.known:
            self.known[minute] = self._looked(minute.astimezone(self.zone))
        return self.known[minute]

    def _looked(self, wall: datetime) -> bool:
        it = self.calendar
        holiday = (wall.month, wall.day) in HOLIDAYS[it.country, it.region] or wall.date() in it.closed
        if holiday and wall.date() not in it.worked:
            return False
        return any(since <= wall.hour * 60 + wall.minute < until for since, until in it.week[wall.weekday()])


@lru_cache(maxsize=8)
def wall_of(calendar: Calendar) -> Wall:
    return Wall(calendar)


@dataclass
class Stopwatch:
    """A clock that is told how long it ran, and whether we were open."""

    target: timedelta | None
    spent: timedelta = NONE
    due: datetime | None = None
    late: bool = False
    ended: bool = False

    def run(self, at: datetime, length: timedelta, opened: bool) -> None:
        self.spent += length if opened else NONE
        if self.target is not None and self.due is None and self.spent >= self.target:
            self.due = at + length - (self.spent - self.target)
        self.late |= self.due is not None and at + length > self.due

    def missed(self, running: bool) -> bool | None:
        """Whether it was too late, where that is known: not while it runs, nor on time where it may run again."""
        if self.target is None or running or not (self.ended or self.late):
            return None
        return self.late

    @property
    def seconds(self) -> int:
        return self.spent // timedelta(seconds=1)


@dataclass
class Life:
    """An interaction, lived through."""

    number: int
    events: Sequence[Event]
    policy: Policy
    calendar: Calendar
    status: str = ""
    topic: int | None = None
    gone: bool = False
    reopens: int = 0
    tags: set[str] = field(default_factory=set)
    replied_at: datetime | None = None
    solved_at: datetime | None = None
    replies: int = 0
    turns: list[tuple[Stopwatch, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        targets = {name: getattr(self.policy, name) for name in CLOCKS}
        self.targets = {name: None if s is None else timedelta(seconds=s) for name, s in targets.items()}
        self.first, self.whole = (Stopwatch(self.targets[name]) for name in ("first_reply", "resolution"))
        self.waiting: Stopwatch | None = None
        self.now = dict(self.events[0].data)
        self.inbound, self.status, self.tags = self.now["direction"] == "in", self.now["status"], set(self.now["tags"])

    def happen(self, it: Event) -> None:
        was, data = self.status, it.data
        word = data["side"] if it.kind == "message" and not data.get("automatic") else ""
        if word == "customer" and was in (*ENDED, "waiting_customer"):
            self.status = "open"
        elif word == "staff" and was in OURS:
            self.status = "waiting_customer"
        elif it.kind == "status":
            self.status = data["to"]
        elif it.kind == "assign" and data["to"] and was == "new":
            self.status = "open"
        elif it.kind == "merged":
            self.status, self.gone = "closed", True
        elif it.kind in ("kind", "priority", "topic"):
            self.now["topic_id" if it.kind == "topic" else it.kind] = data["to"]
        elif it.kind == "customer":
            self.now |= data
        elif it.kind == "tags":
            self.tags = self.tags - set(data["remove"]) | set(data["add"])
        self.reopens += word == "customer" and was in ENDED
        self.solved_at = (self.solved_at or it.at) if self.status in ENDED else None
        self._speak(word, it.at)

    def _speak(self, word: str, at: datetime) -> None:
        over = self.status in OVER or self.gone
        if word == "staff" or over:
            if self.waiting is not None:
                self.waiting.ended = True
                self.turns.append((self.waiting, word))
            self.waiting = None
        if word == "staff":
            self.replies += 1
            self.replied_at = self.replied_at or at
        elif word == "customer" and not over and self.waiting is None and (self.replied_at or not self.inbound):
            self.waiting = Stopwatch(self.targets["next_reply"])

    def running(self) -> list[tuple[str, Stopwatch]]:
        if self.gone or self.status in (*OVER, *self.policy.pauses):
            return []
        some = [("resolution", self.whole)]
        some += [("first_reply", self.first)] if self.inbound and not self.replied_at else []
        return [*some, ("next_reply", self.waiting)] if self.waiting else some

    def live(self, until: datetime) -> None:
        """Go through all events, and on until nothing more is to become due, or `until`."""
        left, at, is_open = list(self.events), self.events[0].at, wall_of(self.calendar).is_open
        while True:
            while left and left[0].at <= at:
                self.happen(left.pop(0))
            waits = any(clock.due is None and clock.target is not None for _, clock in self.running())
            if not left and (at >= until or not waits):
                break
            end = at.replace(second=0, microsecond=0) + MINUTE
            end = min(end, left[0].at) if left else end
            opened = is_open(at)
            for _, clock in self.running():
                clock.run(at, end - at, opened)
            at = end
        self.first.ended, self.whole.ended = self.replied_at is not None, self.solved_at is not None

    def row(self) -> Row:
        """Return what is expected of it in `support_metric`, but for the versions."""
        running = dict(self.running())
        due = {name: running[name].due if name in running else None for name in CLOCKS}
        known = [
            it.missed("next_reply" in running and it is self.waiting)
            for it in [*(turn for turn, _ in self.turns), *([self.waiting] if self.waiting else [])]
        ]
        told = [missed for missed in known if missed is not None]
        missed = {
            "first_reply": self.first.missed("first_reply" in running) if self.inbound else None,
            "next_reply": any(told) if told else None,
            "resolution": self.whole.missed("resolution" in running),
        }
        answered = [clock.seconds for clock, how in self.turns if how == "staff"]
        asked = [it.at for it in self.events if it.kind in ("csat_asked", "csat")]
        rated = [it for it in self.events if it.kind == "csat"]
        first_due = min(((at, name) for name, at in due.items() if at is not None), default=(None, None))
        counted = not self.gone and self.status != "spam"
        start, logged = self.events[0], self.events[0].data.get("logged_ms")
        return {
            "interaction_id": self.number,
            "seq": self.events[-1].seq,
            "started_at": start.at,
            "first_reply_at": self.replied_at if self.inbound else None,
            "first_reply_s": self.first.seconds if self.inbound and self.replied_at else None,
            "next_replies": len(answered),
            "next_reply_s": max(answered, default=None),
            "resolved_at": self.solved_at,
            "resolution_s": self.whole.seconds if self.solved_at else None,
            **{f"{name}_due": due[name] for name in CLOCKS},
            **{f"{name}_missed": missed[name] for name in CLOCKS},
            "due_at": first_due[0],
            "due_what": first_due[1],
            "missed": any(missed.values()),
            "replies": self.replies,
            "reopens": self.reopens,
            "logged_ms": logged,
            "logged_at": start.recorded_at if logged is not None else None,
            "csat_asked_at": asked[0] if asked else None,
            "csat_at": rated[-1].at if rated else None,
            "csat_score": rated[-1].data["score"] if rated else None,
            "counted": counted,
            "active": counted and self.status not in OVER,
            "inbound": self.inbound,
            **{name: self.now[name] for name in ("kind", "channel", "topic_id", "user_id", "account_id")},
        }


@pytest.fixture(scope="session")
def brute_force() -> type[Life]:
    """The oracle."""
    return Life
