"""A whole support log against brute force: every metric, due time and report of it, and the same after a rebuild.

Histories of every kind of event, several calendars and policies that change in between, on days when clocks turn. What
is expected is lived through minute by minute, by the clock on the wall, and counted in plain loops; nothing of the code
that measures is used for it.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside_modules.support.clocks.rules import Calendar, Filter, Policy
from trackside_modules.support.clocks.walks import walk
from trackside_modules.support.history import Event
from trackside_modules.support.history.events import KINDS
from trackside_modules.support.models import FrozenContext
from trackside_modules.support.queries.due import due
from trackside_modules.support.service import bringing, metrics, rebuilding, rules, searching, topics
from trackside_modules.support.service.work import Work

Row = dict[str, Any]
DAY, HOUR, MINUTE, NONE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta()
TURNS = (
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 11, 1)),
    ("America/St_Johns", date(2026, 3, 8)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Africa/Cairo", date(2026, 4, 24)),
)
"""Zones, and a day on which their clocks turn: by an hour or half of one, in the night or at midnight, both ways."""
NEVER_TURNING = ("Asia/Kathmandu", "Asia/Kolkata", "UTC")
PLACES_CLOSED = (("", ""), ("DE", "BY"), ("AU", "NSW"), ("US", ""))
TOPICS = ("auth", "auth/keys", "billing", "login")
"""The last one is merged into the first."""
STATUSES = ("new", "open", "waiting_customer", "waiting_dev", "solved", "closed", "spam")
LINK = {"kind": "flag", "ref": "new-auth"}
TAGS, PLANS, PLACES = ("vip", "key"), ("scale", "free"), st.sampled_from((None, 0, 1, 2))
KIND, CHANNEL, PRIORITY = (st.sampled_from(each) for each in (("bug", "question"), ("email", "web"), ("low", "urgent")))


def _to(values: Any) -> Any:
    return st.fixed_dictionaries({"to": values})


def _said(side: str, **more: bool) -> Any:
    return st.just({"side": side, "body": "It says 401", "via": "web", **more})


HAPPENING: dict[str, Any] = {
    "message": st.one_of(
        _said("customer"), _said("staff"), _said("customer"), _said("staff"), _said("staff", automatic=True),
        _said("customer", automatic=True),
    ),
    "status": _to(st.sampled_from((*STATUSES, "solved", "open"))),
    "note": st.just({"body": "Called them"}),
    "assign": _to(st.sampled_from((None, 1))),
    "topic": _to(st.sampled_from((None, *TOPICS))),
    "kind": _to(KIND),
    "priority": _to(PRIORITY),
    "subject": _to(st.just("Another")),
    "customer": st.fixed_dictionaries({"user_id": PLACES, "account_id": PLACES}),
    "tags": st.fixed_dictionaries({"add": st.lists(st.sampled_from(TAGS)), "remove": st.lists(st.sampled_from(TAGS))}),
    "snooze": st.sampled_from(({"until": None}, {"until": "2026-12-01T00:00:00+00:00"})),
    "link": st.just(LINK | {"title": ""}),
    "unlink": st.just(LINK),
    "shipped": st.just(LINK),
    "told": st.just(LINK),
    "merged": st.just({"into": 1}),
    "absorbed": st.just({"from": 2}),
    "split": st.sampled_from(({"into": 3, "seqs": [2]}, {"from": 4})),
    "csat_asked": st.just({}),
    "csat": st.fixed_dictionaries({"score": st.integers(1, 5)}),
    "imported": st.just({"id": 7}),
    "erased": st.just({}),
}  # fmt: skip
EVENT = st.sampled_from((*("message",) * 16, *("status",) * 6, *HAPPENING)).flatmap(
    lambda kind: st.tuples(st.just(kind), HAPPENING[kind])
)
WHOLE = st.integers(0, 30).map(lambda tens: timedelta(minutes=10 * tens))
GAP = st.one_of(st.just(NONE), WHOLE, WHOLE, st.timedeltas(NONE, 2 * HOUR), st.timedeltas(NONE, 30 * HOUR))
CREATED = st.fixed_dictionaries(
    {
        "subject": st.just("401"),
        "kind": KIND,
        "channel": CHANNEL,
        "priority": PRIORITY,
        "direction": st.sampled_from(("in", "in", "out")),
        "status": st.sampled_from(("new", "new", "open", "solved")),
        "source": st.just("web"),
        "tags": st.lists(st.sampled_from(TAGS), max_size=1),
        "topic_id": st.sampled_from((None, *TOPICS)),
        "user_id": PLACES,
        "account_id": PLACES,
        "logged_ms": st.none() | st.integers(1, 90_000),
    }
)


@dataclass
class Told:
    """An interaction as it was drawn: names of topics, places of users and accounts."""

    begins: timedelta
    created: Row
    happened: list[tuple[timedelta, tuple[str, Row]]]
    later: int
    """So many of `happened` come once the rules have changed."""
    plan: str


TOLD = st.builds(
    Told, WHOLE | st.timedeltas(NONE, 12 * DAY), CREATED,
    st.lists(st.tuples(GAP, EVENT), max_size=14), st.integers(0, 3),
    st.sampled_from(PLANS),
)  # fmt: skip


@st.composite
def openings(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    ends = draw(st.lists(st.integers(0, 1440), unique=True, max_size=4).map(sorted))
    return tuple(zip(ends[::2], ends[1::2], strict=False))


@st.composite
def calendars(draw: st.DrawFn, turn: tuple[str, date]) -> Calendar:
    around = st.lists(st.integers(-4, 9).map(lambda days: turn[1] + days * DAY), max_size=2)
    nights, always = ((0, 360), (1320, 1440)), ((0, 1440),)
    day = st.sampled_from((nights, always, ((540, 1020),), ())) | openings()
    country, region = draw(st.sampled_from(PLACES_CLOSED))
    return Calendar(
        id=0,
        name="Ours",
        zone=draw(st.sampled_from((turn[0], turn[0], *NEVER_TURNING))),
        week=(((0, 1440),), *(draw(day) for _ in range(6))),
        country=country,
        region=region,
        closed=tuple(draw(around)),
        worked=tuple(draw(around)),
    )


TARGET = st.none() | st.integers(1, 30).map(lambda tens: 600 * tens) | st.integers(60, 90_000)
"""Often such that something happens in the very moment at which it is due."""
POLICY = st.builds(
    partial(Policy, id=0, name="Some"),
    calendar_id=st.integers(1, 3),
    first_reply=TARGET,
    next_reply=TARGET,
    resolution=TARGET,
    pauses=st.sampled_from(((), ("waiting_customer",), ("waiting_customer", "waiting_dev"))),
    when=st.fixed_dictionaries(
        {},
        optional={
            "kinds": st.just(("bug",)),
            "priorities": st.just(("urgent",)),
            "channels": st.just(("email", "chat")),
            "plans": st.just(("scale",)),
            "tags": st.just(("vip", "other")),
            "topics": st.sampled_from((("auth",), ("billing", "auth/keys"))),
        },
    ),
)


class World:
    """A workspace: topics, customers, interactions by their number, and what policies said of topics when made."""

    def __init__(self, session: Session, start: datetime) -> None:
        self.session, self.start, self.how = session, start, {"who": SYSTEM, "now": start}
        self.topics: dict[Any, int | None] = {None: None}
        for path in TOPICS:
            above, _, name = path.rpartition("/")
            made = topics.create(session, name, parent_id=self.topics[above or None], **self.how)
            self.topics[path] = made.id
        self.login = self.topics["login"]
        topics.merge(session, self.login or 0, self.topics["auth"] or 0, **self.how)
        self.histories: dict[int, list[Event]] = {}
        self.plans: dict[int, str] = {}

    def events(self, told: Told, before: int | None) -> list[Event]:
        """Return what happened to an interaction; where it is merged, then into the one `before` it."""
        at = self.start + told.begins
        data = told.created | {"topic_id": self.topics[told.created["topic_id"]]}
        found = [Event(1, at, "created", data, at)]
        for gap, (kind, drawn) in told.happened:
            at += gap
            data = drawn | {"to": self.topics[drawn["to"]]} if kind == "topic" else drawn
            data = data | {"into": before} if kind == "merged" else data
            if kind == "merged" and before is None:
                continue
            found.append(Event(len(found) + 1, at, kind, data, at, member_id=1))
        return found

    def bring_in(self, drawn: Sequence[Told]) -> None:
        numbers = bringing.numbers_for(self.session, len(drawn))
        histories = [self.events(each, at) for each, at in zip(drawn, [None, *numbers], strict=False)]
        begun = [it[: max(1, len(it) - told.later)] for it, told in zip(histories, drawn, strict=True)]
        bringing.bring(self.session, dict(zip(numbers, map(walk, begun), strict=True)))
        self.histories = dict(zip(numbers, begun, strict=True))
        self.left = {at: it[len(self.histories[at]) :] for at, it in zip(numbers, histories, strict=True)}
        for number, told in zip(numbers, drawn, strict=True):
            self.session.add(FrozenContext(interaction_id=number, data={"account": {"plan": told.plan}}))
            self.plans[number] = told.plan
        self.session.flush()

    def go_on(self) -> None:
        for number, events in self.left.items():
            for it in events:
                with Work.on(self.session, number, SYSTEM, now=it.at, merged=True) as work:
                    self.histories[number].append(work.add(it.kind, it.data, at=it.at))
        merged = {it.data["into"] for each in self.histories.values() for it in each if it.kind == "merged"}
        searching.absorb(self.session, merged)  # as merging does

    def change(
        self, calendar: Calendar | None, policy: Policy | None, calendar_id: int = 0, policy_id: int = 0
    ) -> None:
        known, name = rules.current(self.session), f"No {rules.current(self.session).version}"
        if calendar is not None:
            rules.put_calendar(self.session, replace(calendar, id=calendar_id, name=f"C{name}"), **self.how)
        if policy is not None:
            at = min(policy.calendar_id, len(known.calendars))
            when: Row = dict(policy.when)  # type: ignore[call-overload]
            if "topics" in when:
                when["topics"] = tuple(self.topics[path] for path in when["topics"])
            made = replace(policy, id=policy_id, name=f"P{name}", calendar_id=at, when=Filter(**when))
            rules.put_policy(self.session, made, **self.how)

    def expected(self, brute_force: Any) -> list[Row]:
        """Return what is to be kept of every interaction by the rules that hold, and until when it was lived."""
        current = rules.current(self.session)
        by_id = {each.id: each for each in current.calendars}
        nothing = Policy(id=0, name="", calendar_id=current.calendars[0].id)
        found = []
        for number, events in self.histories.items():
            it = brute_force(number, events, nothing, by_id[nothing.calendar_id])
            for event in events:
                it.happen(event)
            policy = next((each for each in current.policies if self.takes(each.when, it)), nothing)
            life, until = brute_force(number, events, policy, by_id[policy.calendar_id]), events[-1].at + 4 * DAY
            life.live(until)
            versions = {"rules_version": current.version, "policy_id": policy.id}
            found.append(life.row() | versions | {"until": until})
        return found

    def takes(self, when: Filter, it: Any) -> bool:
        meant = set(when.topics)
        if self.topics["auth"] in meant:
            meant |= {self.topics["auth/keys"], self.login}
        return (
            (not when.kinds or it.now["kind"] in when.kinds)
            and (not when.priorities or it.now["priority"] in when.priorities)
            and (not when.channels or it.now["channel"] in when.channels)
            and (not when.plans or self.plans[it.number] in when.plans)
            and (not when.tags or bool(it.tags & set(when.tags)))
            and (not when.topics or it.now["topic_id"] in meant)
        )


def kept(session: Session) -> list[Row]:
    found = session.execute(text("select * from support_metric order by interaction_id"))
    return [dict(each) for each in found.mappings()]


def check(session: Session, wanted: Sequence[Row]) -> None:
    """Every column of every row is as expected; what is due later than was lived through, is later than that."""
    found = kept(session)
    assert [each["interaction_id"] for each in found] == [each["interaction_id"] for each in wanted]
    for ours, row in zip(found, wanted, strict=True):
        assert ours.keys() == row.keys() - {"until"}
        for name, value in ours.items():
            if row[name] is None and name.startswith(("first_reply_due", "next_reply_due", "resolution_due")):
                assert value is None or value > row["until"], name
            elif row["due_at"] is None and name in ("due_at", "due_what"):
                assert ours["due_at"] is None or ours["due_at"] > row["until"]
            else:
                assert value == row[name], name


CACHES = ("interaction", "link", "search", "word", "metric")


def everything(session: Session) -> list[list[tuple[object, ...]]]:
    return [sorted(map(tuple, session.execute(text(f"select * from support_{name}"))), key=str) for name in CACHES]


def test_every_kind_of_event_is_drawn() -> None:
    assert {"created", *HAPPENING} == set(KINDS)


@given(st.data(), st.sampled_from(TURNS), st.lists(TOLD, min_size=1, max_size=5))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_metric_is_what_living_through_it_gives(
    session: Session, brute_force: Any, data: st.DataObject, turn: tuple[str, date], drawn: list[Told]
) -> None:
    start = datetime(turn[1].year, turn[1].month, turn[1].day, tzinfo=UTC) - 4 * DAY
    with session.begin_nested() as savepoint:
        world = World(session, start)
        world.bring_in(drawn)
        check(session, world.expected(brute_force))
        for _ in range(2):
            world.change(data.draw(calendars(turn)), data.draw(POLICY))
        assert metrics.remeasure(session) == max(world.histories)
        check(session, world.expected(brute_force))
        world.go_on()
        check(session, world.expected(brute_force))
        world.change(data.draw(calendars(turn)), data.draw(POLICY), calendar_id=2, policy_id=1)
        metrics.remeasure(session)
        wanted = world.expected(brute_force)
        check(session, wanted)
        moment = start + data.draw(st.timedeltas(NONE, 20 * DAY))
        found = due(session, list(world.histories), moment)
        for row in wanted:
            told = found[row["interaction_id"]]
            if row["due_at"] is not None:
                assert (told.at, told.what, told.overdue) == (row["due_at"], row["due_what"], row["due_at"] < moment)
            assert told.missed == row["missed"]
        before = everything(session)
        for name in CACHES:
            session.execute(text(f"delete from support_{name}"))
        ours: Any = SimpleNamespace(session=lambda: nullcontext(session))
        rebuilding.rebuild(ours)
        assert everything(session) == before
        savepoint.rollback()
