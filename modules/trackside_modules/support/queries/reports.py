"""Reports: every figure of a period beside the period before, by topic and by day, and the rows behind each."""

# ruff: noqa: S608 - the SQL is put together of our own pieces; what is asked for is bound
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.queries.measures import BACKLOG, MEASURES, NO_VALUE, ROWS, SHARES, TOPIC, Measure

PAGE = 50
MOST = 10_000
"""Rows of an export."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which interactions a report is of."""

    start: datetime
    end: datetime
    """Not in it any more."""
    now: datetime
    topic_id: int | None = None
    """This topic, and those below it."""
    kind: str = ""
    channel: str = ""
    account_id: int | None = None

    @property
    def before(self) -> datetime:
        """When the period before began: it is as long."""
        return self.start - (self.end - self.start)

    def where(self) -> str:
        """Return the SQL of what narrows it, besides the period."""
        parts = ["true"]
        parts += ["i.kind = :kind"] if self.kind else []
        parts += ["i.channel = :channel"] if self.channel else []
        parts += ["i.account_id = :account_id"] if self.account_id is not None else []
        if self.topic_id is not None:
            parts.append(
                f"{TOPIC} in (select b.id from support_topic a join support_topic b on b.id = a.id "
                "or starts_with(b.path, a.path || '/') where a.id = :topic_id)"
            )
        return " and ".join(parts)

    def values(self) -> dict[str, Any]:
        """Return what its SQL is bound to."""
        return {
            "start": self.start,
            "end": self.end,
            "before": self.before,
            "now": self.now,
            "topic_id": self.topic_id,
            "kind": self.kind,
            "channel": self.channel,
            "account_id": self.account_id,
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure in a period: how many rows, and of their values the exact percentiles."""

    count: int = 0
    p50: float | None = None
    p90: float | None = None


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


def report(session: Session, asked: Asked) -> Report:
    """Return every figure; percentiles are exact, over the rows."""
    found: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for at in dict.fromkeys(measure.at for measure in MEASURES.values()):
        measures = [measure for measure in MEASURES.values() if measure.at == at]
        parts = ", ".join(part for measure in measures for part in _parts(measure))
        some = " or ".join(f"({measure.where})" for measure in measures)
        side, period = (f"{at} >= :start", _period(session, asked, ":before", at)) if at else ("true", BACKLOG)
        some = "true" if "(true)" in some else some
        query = f"select {side} as now, {parts} from {ROWS} where {asked.where()} and {period} and ({some}) group by 1"
        for line in session.execute(text(query), asked.values()).mappings():
            found[line["now"]].update(line)
    now, before = ({name: _figure(found[side], name) for name in MEASURES} for side in (True, False))
    return Report(
        now,
        before,
        active_accounts(session, asked.start, asked.end),
        active_accounts(session, asked.before, asked.start),
    )


def _period(session: Session, asked: Asked, start: str, *moments: str) -> str:
    """Return the condition that one of `moments` lies in the period from `start` on.

    It says between which numbers such rows are, too: they lie close together, and PostgreSQL reads no others then.
    """
    within = " or ".join(f"{at} >= {start} and {at} < :end" for at in moments)
    if moments[0].startswith("i."):
        return f"({within})"
    ends = f"select min({_NUMBER}), max({_NUMBER}) from (select * from support_metric m where {within} offset 0) m"
    low, high = session.execute(text(ends), asked.values()).one()
    if low is None:
        return "false"
    return f"({within}) and {_NUMBER} between {low} and {high} and i.id between {low} and {high}"


def _parts(measure: Measure) -> list[str]:
    """Return the columns of a figure: how many rows, and of their values the percentiles."""
    rows = f"filter (where {measure.where})"
    parts = [f"count(*) {rows} as {measure.name}"]
    if measure.value != NO_VALUE:
        order = f"within group (order by {measure.value}) {rows}"
        parts += [f"percentile_cont({share / 100}) {order} as {measure.name}_p{share}" for share in (50, 90)]
    return parts


def _figure(found: Mapping[str, Any], name: str) -> Figure:
    return Figure(found.get(name) or 0, found.get(f"{name}_p50"), found.get(f"{name}_p90"))


def _within(measure: Measure, start: str, end: str) -> str:
    period = f"{measure.at} >= {start} and {measure.at} < {end} and " if measure.at else ""
    return f"{period}({measure.where})"


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


def by_topic(session: Session, asked: Asked) -> list[TopicLine]:
    """Return every topic that had interactions in the period or in the one before, the busiest first."""

    def rows(name: str) -> str:
        return f"filter (where {_within(MEASURES[name], ':start', ':end')})"

    def median(name: str) -> str:
        return f"percentile_cont(0.5) within group (order by {MEASURES[name].value}) {rows(name)}"

    later = {MEASURES[name].at for name in ("first_reply", "resolution", "rated")}
    period = _period(session, asked, ":before", "m.started_at", *sorted(later))
    query = f"""
    with line as (
        select {TOPIC} as topic_id, count(*) {rows("volume")} as count,
            count(*) filter (where m.started_at >= :before and m.started_at < :start) as before,
            {median("first_reply")} as first_reply, {median("resolution")} as resolution,
            count(*) {rows("solved")} as solved, count(*) {rows("reopened")} as reopened,
            count(*) {rows("rated")} as rated, count(*) {rows("satisfied")} as satisfied
        from {ROWS} where {asked.where()} and {period} group by 1
    )
    select line.topic_id, coalesce(topic.name, '') as name, coalesce(topic.path, '') as path, line.count, line.before,
        line.first_reply, line.resolution, line.solved, line.reopened, line.rated, line.satisfied
    from line left join support_topic topic on topic.id = line.topic_id
    where line.count > 0 or line.before > 0 order by line.count desc, topic.path limit 500
    """
    return [TopicLine(*row) for row in session.execute(text(query), asked.values())]


@dataclass(frozen=True, slots=True)
class DayLine:
    """A day's, or a week's, figures."""

    day: date
    volume: int
    solved: int
    first_reply_p50: float | None
    first_reply_p90: float | None


def by_day(session: Session, asked: Asked, zone: str, step: timedelta) -> list[DayLine]:
    """Return a line for each day in the member's `zone`, or for each week (from Monday) where `step` is one."""
    unit = "week" if step > timedelta(days=1) else "day"
    ends = []
    for name, values in (("volume", ""), ("resolution", ""), ("first_reply", MEASURES["first_reply"].value)):
        measure = MEASURES[name]
        period = _period(session, asked, ":start", measure.at)
        day = f"date_trunc('{unit}', {measure.at} at time zone :zone)::date"
        ends.append(
            f"select {day} as day, '{name}' as name, {values or 'null::bigint'} as value from {ROWS} "
            f"where {asked.where()} and {period} and {measure.where}"
        )
    query = f"""
    with days as (select generate_series(date_trunc('{unit}', cast(:start as timestamptz) at time zone :zone),
            cast(:end as timestamptz) at time zone :zone - interval '1 microsecond', interval '1 {unit}')::date as day),
        rows as ({" union all ".join(ends)})
    select days.day, count(*) filter (where name = 'volume'), count(*) filter (where name = 'resolution'),
        percentile_cont(0.5) within group (order by value) filter (where name = 'first_reply'),
        percentile_cont(0.9) within group (order by value) filter (where name = 'first_reply')
    from days left join rows on rows.day = days.day group by 1 order by 1
    """
    return [DayLine(*row) for row in session.execute(text(query), asked.values() | {"zone": zone})]


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


_NUMBER = "m.interaction_id"
ORDERS = {
    "-value": "value desc nulls last, i.id desc",
    "value": "value nulls last, i.id",
    "-at": "at desc, i.id desc",
    "at": "at, i.id",
}


def rows(
    session: Session, asked: Asked, measure: Measure, order: str = "-at", *, limit: int = PAGE, offset: int = 0
) -> tuple[list[RowLine], int]:
    """Return rows behind a figure of the period, in one of `ORDERS`, and how many there are."""
    period = _period(session, asked, ":start", measure.at) if measure.at else "true"
    where = f"{asked.where()} and {period} and {measure.where}"
    total = session.scalar(text(f"select count(*) from {ROWS} where {where}"), asked.values()) or 0
    query = f"""
    select i.id, i.subject, i.status, i.kind, coalesce(t.path, ''), i.user_id, i.account_id,
        {measure.at or "m.started_at"} as at, {measure.value} as value
    from {ROWS} where {where} order by {ORDERS[order]} limit :limit offset :offset
    """
    found = session.execute(text(query), asked.values() | {"limit": limit, "offset": offset})
    return [RowLine(*row) for row in found], int(total)


AGES: Sequence[tuple[str, timedelta]] = (
    ("under a day", timedelta(days=1)),
    ("1 to 3 days", timedelta(days=3)),
    ("3 to 7 days", timedelta(days=7)),
    ("1 to 4 weeks", timedelta(days=28)),
    ("older", timedelta(days=365_000)),
)


def backlog_ages(session: Session, asked: Asked) -> list[tuple[str, int]]:
    """Return how many of what is not solved now are how old."""
    parts, youngest = [], -1
    for place, (_, oldest) in enumerate(AGES):
        days = "extract(epoch from :now - m.started_at) / 86400"
        parts.append(f"count(*) filter (where {days} >= {youngest} and {days} < {oldest.days}) as a{place}")
        youngest = oldest.days
    where = f"{asked.where()} and {MEASURES['backlog'].where}"
    found = _one(session, f"select {', '.join(parts)} from {ROWS} where {where}", asked)
    return [(name, found[f"a{place}"]) for place, (name, _) in enumerate(AGES)]


def _one(session: Session, query: str, asked: Asked) -> Mapping[str, Any]:
    return dict(session.execute(text(query), asked.values()).mappings().one())
