"""Reports: every figure of a period beside the period before, by topic and by day, and the rows behind each."""

# ruff: noqa: S608 - the SQL is put together of our own pieces; what is asked for is bound
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from trackside_modules.support.models import Topic
from trackside_modules.support.queries.cells import DAILY, NOTHING, Asked, Cell, Cells, Figure, gather
from trackside_modules.support.queries.measures import MEASURES, SHARES, Measure

PAGE = 50
MOST = 10_000
"""Rows of an export."""
TOPICS = 500
"""Lines by topic."""


@dataclass(frozen=True, slots=True)
class Report:
    """All figures by name, of the period and of the one before."""

    now: Mapping[str, Figure]
    before: Mapping[str, Figure]
    accounts: int
    """Accounts that were active in the period."""
    accounts_before: int

    def share(self, name: str, *, before: bool = False) -> float | None:
        """Return a share (see `SHARES`), 0 to 1; None of nothing."""
        share, figures = SHARES[name], self.before if before else self.now
        whole = figures[share.whole].count
        return figures[share.part].count / whole if whole else None

    def contact_rate(self, *, before: bool = False) -> float | None:
        """Return the contacts per 100 active accounts; None where no account was active."""
        accounts = self.accounts_before if before else self.accounts
        return (self.before if before else self.now)["contacts"].count * 100 / accounts if accounts else None


def report(session: Session, asked: Asked, cells: Cells | None = None) -> Report:
    """Return every figure; percentiles are exact, over the rows. `cells` are of `gather`, where they are there."""
    found = (cells or gather(session, asked)).figures(MEASURES, lambda cell: cell.now)
    now, before = ({name: found.get(side, {}).get(name, NOTHING) for name in MEASURES} for side in (True, False))
    return Report(
        now,
        before,
        active_accounts(session, asked.start, asked.end),
        active_accounts(session, asked.before, asked.start),
    )


def active_accounts(session: Session, start: datetime, end: datetime) -> int:
    """Return how many accounts had been seen calling by `end`, and not for the last time before `start`."""
    found = session.scalar(
        text(
            "select count(*) from account where merged_into is null and erased_at is null "
            "and first_seen < :end and last_seen >= :start"
        ),
        {"start": start, "end": end},
    )
    return int(found or 0)


@dataclass(frozen=True, slots=True)
class TopicLine:
    """A topic's figures in a period."""

    topic_id: int | None
    """None: interactions without a topic."""
    name: str
    path: str
    count: int
    before: int
    first_reply: float | None
    """p50, seconds of business time."""
    resolution: float | None
    solved: int
    reopened: int
    rated: int
    satisfied: int


def by_topic(session: Session, asked: Asked, cells: Cells | None = None) -> list[TopicLine]:
    """Return every topic that had interactions in the period or in the one before, the busiest first."""
    query = select(Topic.id, Topic.merged_into, Topic.name, Topic.path)
    topics = {number: (into or number, name, path) for number, into, name, path in session.execute(query)}
    names = ("volume", "first_reply", "resolution", "solved", "reopened", "rated", "satisfied")

    def key(cell: Cell) -> tuple[bool, int | None] | None:
        topic_id = topics[cell.topic_id][0] if cell.topic_id in topics else None
        return None if cell.now is None else (cell.now, topic_id)

    found = (cells or gather(session, asked)).figures(names, key)
    lines = []
    for topic_id in {topic_id for _, topic_id in found}:
        now, before = (found.get((side, topic_id), {}) for side in (True, False))
        of = {name: now.get(name, NOTHING) for name in names}
        _, name, path = topics[topic_id] if topic_id is not None else (None, "", "")
        counts = (of["volume"].count, before.get("volume", NOTHING).count)
        medians = (of["first_reply"].p50, of["resolution"].p50)
        rest = (of[each].count for each in ("solved", "reopened", "rated", "satisfied"))
        lines += [TopicLine(topic_id, name, path, *counts, *medians, *rest)] if any(counts) else []
    return sorted(lines, key=lambda line: (-line.count, line.path))[:TOPICS]


@dataclass(frozen=True, slots=True)
class DayLine:
    """A day's, or a week's, figures."""

    day: date
    volume: int
    solved: int
    first_reply_p50: float | None
    first_reply_p90: float | None


def days_of(asked: Asked, zone: str, step: timedelta) -> list[datetime]:
    """Return when each day in the member's `zone` begins, or each week (from Monday) where `step` is one."""
    local = ZoneInfo(zone)
    first, last = (at.astimezone(local).date() for at in (asked.start, asked.end - timedelta(microseconds=1)))
    if step > timedelta(days=1):
        first, step = first - timedelta(days=first.weekday()), timedelta(days=7)
    days = (first + step * at for at in range((last - first) // step + 1))
    return [datetime.combine(day, time(), local) for day in days]


def by_day(session: Session, asked: Asked, days: Sequence[datetime], cells: Cells | None = None) -> list[DayLine]:
    """Return a line for each of `days`, by which `cells` were gathered."""
    found = (cells or gather(session, asked, days)).figures(DAILY, lambda cell: cell.day)
    lines = []
    for at, day in enumerate(days, start=1):
        volume, solved, reply = (found.get(at, {}).get(name, NOTHING) for name in DAILY)
        lines.append(DayLine(day.date(), volume.count, solved.count, reply.p50, reply.p90))
    return lines


@dataclass(frozen=True, slots=True)
class RowLine:
    """A row behind a figure."""

    number: int
    subject: str
    status: str
    kind: str
    topic: str
    user_id: int | None
    account_id: int | None
    at: datetime | None
    """When it counted."""
    value: float | None


ORDERS = {
    "-value": "value desc nulls last, id desc",
    "value": "value nulls last, id",
    "-at": "at desc, id desc",
    "at": "at, id",
}


def rows(
    session: Session, asked: Asked, measure: Measure, order: str = "-at", *, limit: int = PAGE, offset: int = 0
) -> tuple[list[RowLine], int]:
    """Return rows behind a figure of the period, in one of `ORDERS`, and how many there are."""
    period = f"{measure.at} >= :start and {measure.at} < :end" if measure.at else "true"
    # they are looked for once, for the page and for how many there are
    query = f"""
    with line as materialized (
        select m.interaction_id as id, {measure.at or "m.started_at"} as at, {measure.value} as value
        from {measure.source} where {asked.where()} and {period} and {measure.where}
    ), page as (
        select * from line order by {ORDERS[order]} limit :limit offset :offset
    )
    select total.count, it.* from (select count(*) from line) total left join (
        select i.id, i.subject, i.status, i.kind, coalesce(t.path, ''), i.user_id, i.account_id, page.at, page.value
        from page join support_interaction i on i.id = page.id left join support_topic t on t.id = i.topic_id
    ) it on true order by {ORDERS[order]}
    """
    # nothing of the period before is walked through
    given = asked.values() | {"before": asked.start, "limit": limit, "offset": offset}
    found = session.execute(text(query), given).all()
    return [RowLine(*row) for _, *row in found if row[0] is not None], int(found[0][0])


@dataclass(frozen=True, slots=True)
class Age:
    """A band of ages, in days; `until` is in the next one."""

    title: str
    since: int
    until: int | None


_DAY = 86_400
AGES: Mapping[str, Age] = {
    "day": Age("under a day", 0, 1),
    "days": Age("1 to 3 days", 1, 3),
    "week": Age("3 to 7 days", 3, 7),
    "weeks": Age("1 to 4 weeks", 7, 28),
    "older": Age("older", 28, None),
}


def backlog_ages(session: Session, asked: Asked, cells: Cells | None = None) -> list[tuple[str, int]]:
    """Return how many of what is not solved now are in each of `AGES`."""
    ages = (cells or gather(session, asked)).values("backlog")

    def before(days: int | None) -> int:
        return len(ages) if days is None else bisect_left(ages, days * _DAY)

    return [(name, before(age.until) - before(age.since)) for name, age in AGES.items()]


def aged(name: str) -> Measure:
    """Return the measure of what is not solved now and in one of `AGES`."""
    backlog, age = MEASURES["backlog"], AGES[name]
    until = "" if age.until is None else f" and {backlog.value} < {age.until * _DAY}"
    where = f"{backlog.where} and {backlog.value} >= {age.since * _DAY}{until}"
    return replace(backlog, title=f"Not solved, {age.title}", where=where)
