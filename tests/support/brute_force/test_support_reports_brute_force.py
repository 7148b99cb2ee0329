"""Every figure of a report, and the rows behind it, against plain loops over random workspaces.

What is kept of each interaction is proved by `test_support_brute_force.py`; here it is drawn.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.customers.models import Account
from trackside_modules.support.history import Event
from trackside_modules.support.models import Metric
from trackside_modules.support.queries import reports
from trackside_modules.support.queries.cells import NO_TOPIC, Asked, gather
from trackside_modules.support.queries.measures import MEASURES, SHARES
from trackside_modules.support.service import bringing, topics

Row = dict[str, Any]
DAY, WEEK = timedelta(days=1), timedelta(days=7)
START, SPAN = datetime(2026, 10, 10, tzinfo=UTC), timedelta(days=24)
NOW = START + SPAN + DAY
"""Clocks go back in Berlin in between."""
CREATED = {
    "subject": "401", "kind": "bug", "channel": "web", "priority": "low", "status": "new", "source": "web", "tags": [],
    "direction": "in",
}  # fmt: skip
AT = (st.timedeltas(timedelta(), SPAN) | st.integers(0, SPAN.days).map(timedelta)).map(lambda after: START + after)
"""Often at midnight, where periods, weeks and ages end."""
SOMETIMES = st.none() | AT
SECONDS = st.integers(0, 200_000)
KEPT = st.fixed_dictionaries(
    {
        "started_at": AT,
        "first_reply_at": SOMETIMES,
        "first_reply_s": SECONDS,
        "first_reply_missed": st.sampled_from((None, True, False)),
        "next_reply_missed": st.sampled_from((None, True, False)),
        "resolved_at": SOMETIMES,
        "resolution_s": SECONDS,
        "resolution_missed": st.sampled_from((None, True, False)),
        "due_at": st.none() | AT.map(lambda at: at + 3 * DAY),
        "reopens": st.integers(0, 1),
        "logged_ms": st.none() | st.integers(1, 90_000),
        "csat_asked_at": SOMETIMES,
        "csat_score": st.none() | st.integers(1, 5),
        "counted": st.sampled_from((True, True, True, False)),
        "active": st.booleans(),
        "inbound": st.sampled_from((True, True, False)),
        "kind": st.sampled_from(("bug", "question")),
        "channel": st.sampled_from(("email", "web")),
        "topic_id": st.sampled_from((None, 0, 0, 1, 2, 3)),
        "user_id": st.sampled_from((None, 1, 1, 2)),
        "account_id": st.sampled_from((None, 7, 8)),
    }
)
NARROWED = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.just("bug"),
        "channel": st.just("email"),
        "account_id": st.just(7),
        "topic_id": st.sampled_from((NO_TOPIC, "auth", "auth", "billing")),
        "alone": st.booleans(),
    },
)
SEEN = st.tuples(SOMETIMES, SOMETIMES, st.booleans())


def broken(m: Row) -> bool:
    return any(m[f"{name}_missed"] for name in ("first_reply", "next_reply", "resolution"))


def missed(m: Row) -> bool:
    return broken(m) or overdue(m)


def overdue(m: Row) -> bool:
    return m["due_at"] is not None and m["due_at"] < NOW


def settled(m: Row) -> bool:
    return overdue(m) or any(m[f"{name}_missed"] is not None for name in ("first_reply", "next_reply", "resolution"))


def traceable(m: Row) -> bool:
    return m["inbound"] and m["user_id"] is not None and m["topic"] is not None


def age(m: Row) -> int:
    return int((NOW - m["started_at"]).total_seconds() // 1)


Belongs = Callable[[Row], Any]
PLAIN: dict[str, tuple[str, Belongs, Belongs | None]] = {
    "volume": ("started_at", lambda _: True, None),
    "contacts": ("started_at", lambda m: m["inbound"], None),
    "first_reply": ("first_reply_at", lambda _: True, lambda m: m["first_reply_s"]),
    "resolution": ("resolved_at", lambda _: True, lambda m: m["resolution_s"]),
    "solved": ("started_at", lambda m: m["resolved_at"] or m["reopens"], None),
    "reopened": ("started_at", lambda m: m["reopens"], None),
    "traceable": ("started_at", traceable, None),
    "repeated": ("started_at", lambda m: traceable(m) and m["repeats"], None),
    "promised": ("started_at", settled, None),
    "kept": ("started_at", lambda m: settled(m) and not missed(m), None),
    "missed": ("started_at", missed, None),
    "asked": ("csat_asked_at", lambda _: True, None),
    "rated": ("csat_asked_at", lambda m: m["csat_score"], lambda m: m["csat_score"]),
    "satisfied": ("csat_asked_at", lambda m: (m["csat_score"] or 0) >= 4, lambda m: m["csat_score"]),
    "logging": ("logged_at", lambda m: m["logged_ms"], lambda m: m["logged_ms"]),
    "backlog": ("", lambda m: m["active"], age),
}
"""Of each figure: the moment by which it is of a period, what belongs to it, and its value."""


class Plain:
    """A workspace whose figures are counted by hand."""

    def __init__(self, session: Session, drawn: Sequence[Row]) -> None:
        how: Row = {"who": SYSTEM, "now": START}
        auth = topics.create(session, "Auth", **how).id
        keys = topics.create(session, "Keys", parent_id=auth, **how).id
        billing, login = (topics.create(session, name, **how).id for name in ("Billing", "Login"))
        topics.merge(session, login, auth, **how)
        self.ids = {"auth": auth, "billing": billing}
        self.below = {auth: {auth, keys}, billing: {billing}}
        self.paths = {auth: "auth", keys: "auth/keys", billing: "billing"}
        numbers = bringing.bring_in(session, [[Event(1, START, "created", CREATED, START)] for _ in drawn])
        self.rows: list[Row] = []
        session.query(Metric).delete()
        for number, each in zip(numbers, drawn, strict=True):
            topic_id = None if each["topic_id"] is None else (auth, keys, billing, login)[each["topic_id"]]
            row = each | {"interaction_id": number, "topic_id": topic_id}
            row["logged_at"] = None if row["logged_ms"] is None else row["started_at"]
            for name in ("first_reply", "resolution"):
                at = f"{name}_at" if name == "first_reply" else "resolved_at"
                row[f"{name}_s"] = None if row[at] is None else row[f"{name}_s"]
            row["active"] = row["counted"] and row["active"]
            stored = row | {
                "missed": any(row[f"{name}_missed"] for name in ("first_reply", "next_reply", "resolution"))
            }
            rest = {"seq": 1, "rules_version": 0, "policy_id": 1, "next_replies": 0, "replies": 0}
            session.execute(insert(Metric).values(**stored, **rest))
            self.rows.append(row | {"topic": auth if topic_id == login else topic_id})
        for it in self.rows:
            it["repeats"] = any(self.follows(it, other) for other in self.rows)

    @staticmethod
    def follows(it: Row, other: Row) -> bool:
        order = [(each["started_at"], each["interaction_id"]) for each in (other, it)]
        same = all(it[name] == other[name] for name in ("user_id", "topic"))
        return other["counted"] and same and order[0] < order[1] and it["started_at"] - other["started_at"] <= WEEK

    def of(self, name: str, asked: Asked, start: datetime | None = None, end: datetime | None = None) -> list[Row]:
        """Return the rows behind a figure, from `start` to `end` where it is of a period."""
        at, belongs, _ = PLAIN[name]
        start, end = start or asked.start, end or asked.end
        return [
            it
            for it in self.rows
            if self.narrowed(it, asked) and belongs(it) and (not at or (it[at] and start <= it[at] < end))
        ]

    def narrowed(self, it: Row, asked: Asked) -> bool:
        wanted = asked.topic_id
        topic = wanted is None or (
            it["topic"] is None if wanted == NO_TOPIC else self.is_of(it["topic"], wanted, asked)
        )
        fits = all(getattr(asked, name) in (None, "", it[name]) for name in ("kind", "channel", "account_id"))
        return it["counted"] and topic and fits

    def is_of(self, topic: int | None, wanted: int, asked: Asked) -> bool:
        if wanted == NO_TOPIC:
            return topic is None
        return topic == wanted if asked.alone else topic in self.below[wanted]


def told(name: str, found: Sequence[Row]) -> tuple[int, Any, Any]:
    """Return how many, and the percentiles as a textbook has them."""
    value = PLAIN[name][2]
    values = [value(it) for it in found] if value else []
    if not values:
        return len(found), None, None
    tenths = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
    return len(found), pytest.approx(statistics.median(values)), pytest.approx(tenths[8])


def check_rows(session: Session, asked: Asked, plain: Plain) -> None:
    """The rows that each number opens are those that it counts."""
    for name, measure in MEASURES.items():
        wanted = {it["interaction_id"] for it in plain.of(name, asked)}
        lines, total = reports.rows(session, asked, measure)
        assert ({line.number for line in lines}, total) == (wanted, len(wanted)), name
        assert reports.rows(session, asked, measure, "value", limit=3, offset=len(wanted))[1] == len(wanted)
    for name, count in reports.backlog_ages(session, asked):
        band = reports.AGES[name]
        wanted = {
            it["interaction_id"]
            for it in plain.of("backlog", asked)
            if NOW - it["started_at"] >= band.since * DAY
            and (band.until is None or NOW - it["started_at"] < band.until * DAY)
        }
        lines, total = reports.rows(session, asked, reports.aged(name))
        assert ({line.number for line in lines}, total, count) == (wanted, len(wanted), len(wanted)), name


def check_topics(session: Session, asked: Asked, plain: Plain) -> None:
    names = ("volume", "first_reply", "resolution", "solved", "reopened", "rated", "satisfied")
    lines = {line.topic_id: line for line in reports.by_topic(session, asked)}
    for topic in (None, *plain.paths):
        now = {name: told(name, [it for it in plain.of(name, asked) if it["topic"] == topic]) for name in names}
        earlier = [it for it in plain.of("volume", asked, asked.before, asked.start) if it["topic"] == topic]
        if topic not in lines:
            assert (now["volume"][0], len(earlier)) == (0, 0)
            continue
        line = lines[topic]
        assert (line.count, line.before, line.path) == (now["volume"][0], len(earlier), plain.paths.get(topic or 0, ""))
        assert (line.first_reply, line.resolution) == (now["first_reply"][1], now["resolution"][1])
        figures = (line.solved, line.reopened, line.rated, line.satisfied)
        assert figures == tuple(now[name][0] for name in names[3:])
        # as the page links it
        opened = replace(asked, topic_id=topic or NO_TOPIC, alone=topic is not None)
        if asked.topic_id is None:
            assert reports.rows(session, opened, MEASURES["volume"])[1] == line.count


def check_days(session: Session, asked: Asked, plain: Plain, zone: str) -> None:
    local = ZoneInfo(zone)
    lines = {line.day: line for line in reports.by_day(session, asked, reports.days_of(asked, zone, DAY))}
    days: dict[date, dict[str, list[Row]]] = {day: {} for day in lines}
    for name in ("volume", "resolution", "first_reply"):
        for it in plain.of(name, asked):
            days[it[PLAIN[name][0]].astimezone(local).date()].setdefault(name, []).append(it)
    for day, line in lines.items():
        replies = told("first_reply", days[day].get("first_reply", []))
        assert (line.volume, line.solved) == tuple(len(days[day].get(name, [])) for name in ("volume", "resolution"))
        assert (line.first_reply_p50, line.first_reply_p90) == replies[1:]


@given(
    st.lists(KEPT, max_size=14),
    st.integers(3, 22),
    st.integers(1, 9),
    NARROWED,
    st.lists(SEEN, max_size=4),
    st.sampled_from(("Europe/Berlin", "Asia/Kathmandu", "UTC")),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_figure_is_what_plain_loops_count(
    session: Session, drawn: list[Row], first: int, days: int, narrowed: Row, seen: list[Any], zone: str
) -> None:
    with session.begin_nested() as savepoint:
        plain = Plain(session, drawn)
        topic = narrowed.get("topic_id")
        narrowed = narrowed | ({"topic_id": plain.ids[topic]} if isinstance(topic, str) else {})
        # the days of a member's zone, as the page asks
        begins = datetime.combine((START + first * DAY).date(), time(), ZoneInfo(zone))
        asked = Asked(begins.astimezone(UTC), (begins + days * DAY).astimezone(UTC), NOW, **narrowed)
        active = [0, 0]
        for number, (one, other, gone) in enumerate(seen):
            since, until = (min(one, other), max(one, other)) if one and other else (one, one)
            erased = NOW if gone else None
            row = Account(external_id=f"a{number}", source="usage", first_seen=since, last_seen=until, erased_at=erased)
            session.add(row)
            for place, (start, end) in enumerate(((asked.before, asked.start), (asked.start, asked.end))):
                active[place] += bool(since and until and not gone and since < end and until >= start)
        session.flush()
        found = reports.report(session, asked, gather(session, asked))
        periods = {False: (asked.start, asked.end), True: (asked.before, asked.start)}
        for name in MEASURES:
            for before, (start, end) in periods.items():
                if before and not PLAIN[name][0]:
                    continue
                figure = (found.before if before else found.now)[name]
                assert (figure.count, figure.p50, figure.p90) == told(name, plain.of(name, asked, start, end)), name
        for before, (start, end) in periods.items():
            for name, share in SHARES.items():
                part, whole = (len(plain.of(each, asked, start, end)) for each in (share.part, share.whole))
                assert found.share(name, before=before) == (part / whole if whole else None)
            contacts, accounts = len(plain.of("contacts", asked, start, end)), active[not before]
            wanted = pytest.approx(100 * contacts / accounts) if accounts else None
            assert found.contact_rate(before=before) == wanted
        check_rows(session, asked, plain)
        check_topics(session, asked, plain)
        check_days(session, asked, plain, zone)
        savepoint.rollback()
