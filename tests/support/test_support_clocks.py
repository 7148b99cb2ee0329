"""Business hours and metrics against an oracle that counts minute by minute, over daylight-saving days too."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside_modules.support.clocks.hours import EPOCH, MINUTE, Hours, hours_of
from trackside_modules.support.clocks.metrics import Metrics, measure
from trackside_modules.support.clocks.rules import DEFAULT, About, Calendar, Filter, Policy, Rules, from_document
from trackside_modules.support.clocks.spans import OVER, Step

TURNS = (
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Africa/Cairo", date(2026, 4, 24)),
    ("America/Havana", date(2026, 11, 1)),
    ("America/St_Johns", date(2011, 11, 6)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Asia/Kathmandu", date(2026, 6, 1)),
)
"""Zones, each with a day on which its clocks go forward or back, at midnight too; Apia left that day out altogether."""

ONE_MINUTE = timedelta(minutes=1)
LENGTH = 5 * 24 * 60


@st.composite
def openings(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    ends = draw(st.lists(st.integers(0, 1440), unique=True, max_size=4).map(sorted))
    return tuple(zip(ends[::2], ends[1::2], strict=False))


@st.composite
def places(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    """A calendar, and a moment two to three days before its zone's clocks turn."""
    zone, day = draw(st.sampled_from(TURNS))
    around = st.integers(-3, 3).map(lambda days: day + timedelta(days=days))
    calendar = Calendar(
        id=1,
        name="Ours",
        zone=zone,
        week=tuple(draw(openings()) for _ in range(7)),
        closed=tuple(draw(st.lists(around, max_size=1))),
        worked=tuple(draw(st.lists(around, max_size=1))),
    )
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(minutes=draw(st.integers(2880, 4320)))
    return calendar, start


def is_open(calendar: Calendar, at: datetime) -> bool:
    wall = at.astimezone(ZoneInfo(calendar.zone))
    if wall.date() in calendar.closed and wall.date() not in calendar.worked:
        return False
    minute = wall.hour * 60 + wall.minute
    return any(since <= minute < until for since, until in calendar.week[wall.weekday()])


@given(places(), st.integers(0, LENGTH), st.integers(1, 3000))
@settings(max_examples=60)
def test_business_time_is_what_one_counts_by_the_clock_on_the_wall(place, length, amount):
    calendar, start = place
    hours, end = Hours(calendar), start + length * ONE_MINUTE
    opened = [start + n * ONE_MINUTE for n in range(length) if is_open(calendar, start + n * ONE_MINUTE)]
    assert hours.between(start, end) == len(opened) * MINUTE
    assert all(hours.is_open(at) for at in opened)
    due = hours.after(start, amount * MINUTE)
    if len(opened) >= amount:
        assert due == opened[amount - 1] + ONE_MINUTE
    else:
        assert due is None or due > end or hours.between(start, due) == amount * MINUTE


@dataclass
class Counter:
    """A clock that is told each minute whether it runs and whether we are open."""

    target: int | None
    minutes: int = 0
    due: datetime | None = None
    late: bool = False
    running: bool = False

    def tick(self, at: datetime, runs: bool, opened: bool) -> None:
        self.running = runs
        self.late |= runs and self.due is not None
        self.minutes += runs and opened
        if runs and self.target is not None and self.due is None and self.minutes == self.target:
            self.due = at + ONE_MINUTE

    @property
    def shown(self) -> datetime | None:
        return self.due if self.running else None

    def missed(self, ended: bool) -> bool | None:
        if self.target is None or self.running or not (ended or self.late):
            return None
        return self.late


class Life:
    """An interaction, lived through minute by minute."""

    def __init__(self, policy: Policy, inbound: bool) -> None:
        first, self.each, whole = (each and each // 60 for each in targets_of(policy))
        self.first, self.whole = Counter(first), Counter(whole)
        self.waiting: Counter | None = None
        self.turns: list[tuple[Counter, str]] = []
        self.inbound, self.replied, self.still = inbound, not inbound, (*OVER, *policy.pauses)
        self.status, self.replies, self.reopens = "", 0, 0
        self.first_at: datetime | None = None
        self.resolved: datetime | None = None

    def happen(self, step: Step, at: datetime) -> None:
        ended = ("solved", "closed")
        self.reopens += step.word == "customer" and self.status in ended
        if step.word == "reply":
            self._reply(at)
        elif step.status in OVER:
            self._turn_ends("over")
        elif step.word == "customer" and self.replied and self.waiting is None:
            self.waiting = Counter(self.each)
        self.resolved = (self.resolved or at) if step.status in ended else None
        self.status = step.status

    def _reply(self, at: datetime) -> None:
        self._turn_ends("answered")
        if self.inbound and not self.replied:
            self.first_at = at
        self.replied = True
        self.replies += 1

    def _turn_ends(self, how: str) -> None:
        if self.waiting is not None:
            self.waiting.running = False
            self.turns.append((self.waiting, how))
        self.waiting = None

    def tick(self, at: datetime, opened: bool) -> None:
        runs = self.status not in self.still
        self.whole.tick(at, runs, opened)
        self.first.tick(at, runs and self.inbound and not self.replied, opened)
        if self.waiting is not None:
            self.waiting.tick(at, runs, opened)

    def figures(self) -> dict[str, object]:
        turns = [*self.turns, *([(self.waiting, "open")] if self.waiting else [])]
        known = [each for each in (counter.missed(how != "open") for counter, how in turns) if each is not None]
        answered = [counter.minutes * 60 for counter, how in turns if how == "answered"]
        return {
            "first_reply_at": self.first_at,
            "first_reply": None if self.first_at is None else self.first.minutes * 60,
            "first_reply_due": self.first.shown,
            "first_reply_missed": self.first.missed(self.first_at is not None),
            "next_replies": len(answered),
            "next_reply": max(answered, default=None),
            "next_reply_due": self.waiting.shown if self.waiting else None,
            "next_reply_missed": any(known) if known else None,
            "resolved_at": self.resolved,
            "resolution": None if self.resolved is None else self.whole.minutes * 60,
            "resolution_due": self.whole.shown,
            "resolution_missed": self.whole.missed(self.resolved is not None),
            "replies": self.replies,
            "reopens": self.reopens,
        }


def targets_of(policy: Policy) -> tuple[int | None, int | None, int | None]:
    return policy.first_reply, policy.next_reply, policy.resolution


def oracle(steps: list[Step], policy: Policy, calendar: Calendar, inbound: bool, until: datetime) -> dict[str, object]:
    """Return what `measure` should, by living through every minute."""
    life, left, at = Life(policy, inbound), list(steps), steps[0].at
    while at < until:
        while left and left[0].at <= at:
            life.happen(left.pop(0), at)
        life.tick(at, is_open(calendar, at))
        at += ONE_MINUTE
    return life.figures()


STATUSES = ("new", "open", "waiting_customer", "waiting_dev", "solved", "closed", "spam")
ACTS = st.tuples(st.integers(0, LENGTH), st.sampled_from(STATUSES), st.sampled_from((None, None, "customer", "reply")))
TARGET = st.none() | st.integers(1, 1500).map(lambda minutes: minutes * 60)


@given(
    places(),
    st.lists(ACTS, max_size=9).map(lambda acts: sorted(acts, key=lambda act: act[0])),
    st.tuples(TARGET, TARGET, TARGET),
    st.sampled_from(((), ("waiting_customer",), ("waiting_customer", "waiting_dev"))),
    st.booleans(),
)
@settings(max_examples=60)
def test_metrics_are_what_living_through_every_minute_gives(place, acts, targets, pauses, inbound):
    calendar, start = place
    first, each, whole = targets
    policy = Policy(id=1, name="P", calendar_id=1, pauses=pauses, first_reply=first, next_reply=each, resolution=whole)
    steps = [Step(start, "new"), *(Step(start + m * ONE_MINUTE, status, word) for m, status, word in acts)]
    until = steps[-1].at + timedelta(days=1)
    found = measure(steps, policy, Hours(calendar), inbound=inbound)
    wanted = oracle(steps, policy, calendar, inbound, until)
    for name, value in wanted.items():
        ours = getattr(found, name)
        if name.endswith("_due") and value is None and ours is not None:
            assert ours > until, name  # beyond what the oracle has lived through
        else:
            assert ours == value, name


MONDAY = datetime(2026, 11, 16, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = DEFAULT.policies[0]


def measured(*steps: Step, policy: Policy = POLICY) -> Metrics:
    return measure(steps, policy, hours_of(DEFAULT.calendars[0]))


def test_a_night_and_a_weekend_do_not_count():
    friday = MONDAY + timedelta(days=4, hours=7)  # 16:00
    found = measured(Step(friday, "new"), Step(friday + timedelta(days=3), "waiting_customer", "reply"))
    assert found.first_reply == 8 * 3600
    assert found.first_reply_missed
    assert measured(Step(friday, "new")).first_reply_due == friday + timedelta(days=2, hours=20)


def test_what_is_answered_in_the_very_moment_it_is_due_is_in_time():
    due = MONDAY + 4 * HOUR
    for late in (timedelta(), timedelta(microseconds=1)):
        found = measured(Step(MONDAY, "new"), Step(due + late, "waiting_customer", "reply"))
        assert found.first_reply_missed is bool(late)


def test_waiting_for_the_customer_stops_the_clocks():
    steps = (
        Step(MONDAY, "new"),
        Step(MONDAY + HOUR, "waiting_customer", "reply"),
        Step(MONDAY + 5 * HOUR, "open", "customer"),
    )
    found = measured(*steps, Step(MONDAY + 6 * HOUR, "solved", "reply"))
    assert (found.first_reply, found.next_reply, found.resolution) == (3600, 3600, 2 * 3600)
    assert measured(*steps[:2]).next_due is None
    assert measured(*steps).next_due == (MONDAY + timedelta(days=1, hours=5), "next_reply")


def test_of_further_replies_the_longest_is_told():
    found = measured(
        Step(MONDAY, "new"),
        Step(MONDAY, "waiting_customer", "reply"),
        Step(MONDAY, "open", "customer"),
        Step(MONDAY + 3 * HOUR, "waiting_customer", "reply"),
        Step(MONDAY + 3 * HOUR, "open", "customer"),
        Step(MONDAY + 4 * HOUR, "waiting_customer", "reply"),
    )
    assert (found.next_replies, found.next_reply) == (2, 3 * 3600)


def test_what_is_written_down_later_did_not_happen_before():
    found = measured(Step(MONDAY, "new"), Step(MONDAY - HOUR, "waiting_customer", "reply"))
    assert found.first_reply_at == MONDAY
    assert found.first_reply == 0


def test_a_merged_interaction_is_due_no_more():
    assert measured(Step(MONDAY, "new"), Step(MONDAY + HOUR, "new", gone=True)).next_due is None


def test_a_calendar_that_never_opens_has_no_due_time():
    never = Calendar(id=1, name="Never", zone="UTC", week=((),) * 7)
    assert Hours(never).after(MONDAY, 1) is None
    assert Hours(never).between(EPOCH, MONDAY) == 0


def test_public_holidays_of_a_region_are_closed():
    bavaria = Calendar(id=1, name="M", zone="Europe/Berlin", week=(((0, 1440),),) * 7, country="DE", region="BY")
    epiphany = datetime(2027, 1, 6, 12, tzinfo=UTC)
    assert not hours_of(bavaria).is_open(epiphany)
    assert hours_of(bavaria).is_open(epiphany + timedelta(days=1))


def test_a_day_that_is_worked_is_open_although_a_holiday():
    day = date(2027, 1, 6)
    worked = Calendar(
        id=1, name="M", zone="Europe/Berlin", week=(((0, 1440),),) * 7, country="DE", region="BY", worked=(day,)
    )
    assert hours_of(worked).is_open(datetime(2027, 1, 6, 12, tzinfo=UTC))


def test_the_first_policy_that_matches_counts():
    urgent = Policy(id=2, name="Urgent", calendar_id=1, when=Filter(priorities=("urgent",), plans=("scale",)))
    rules = Rules(version=3, calendars=DEFAULT.calendars, policies=(urgent, POLICY))
    assert rules.policy_for(About("bug", "urgent", "email", "scale")) is urgent
    assert rules.policy_for(About("bug", "urgent", "email", "free")) is POLICY
    assert Rules(version=3, calendars=DEFAULT.calendars).policy_for(About("bug", "low", "email")).first_reply is None


def test_rules_survive_being_kept():
    calendar = Calendar(
        id=7, name="Köln", zone="Europe/Berlin", week=(((540, 1020),), *((),) * 6), closed=(date(2026, 12, 24),)
    )
    rules = Rules(version=3, calendars=(calendar,), policies=(POLICY,))
    assert from_document(3, rules.document()) == rules


@pytest.mark.parametrize("year", [1, 1970, 2500, 9998])
def test_a_moment_far_from_our_time_counts_nothing(year):
    there = datetime(year, 6, 1, tzinfo=UTC)
    assert hours_of(DEFAULT.calendars[0]).between(there, there + HOUR) == 0
