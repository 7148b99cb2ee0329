"""What reports measure: each figure's definition, and the rows it is made of.

A `Measure` is a condition on rows, the time by which a row belongs to a period, and a value. The figure and the list of
its rows come of the same three, so they cannot disagree. A `Share` is one measure out of another.
"""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["count", "business", "elapsed", "ms", "score"]
NO_VALUE = "null::bigint"
WEEK = "interval '7 days'"
FROM = "support_metric m"
"""What measures select from that name no other `source`: see ADR 0220."""
COUNTED = "m.counted"
"""Merged interactions count where they went, spam does not count."""
_IN_TURN = f"""(
    select e.interaction_id, e.started_at, e.counted, e.inbound, e.kind, e.channel, e.topic_id, e.account_id,
        lag(e.started_at) over (partition by e.user_id, coalesce(t.merged_into, t.id)
            order by e.started_at, e.interaction_id) as last_at
    from support_metric e join support_topic t on t.id = e.topic_id
    where e.counted and e.user_id is not null and e.started_at >= :before - {WEEK} and e.started_at < :end
) m"""  # noqa: S608 - pieces of our own
"""What has a user and a topic, with when those two were last heard of before: one walk, not one for each."""
_OVERDUE = "coalesce(m.due_at < :now, false)"
_MISSED = f"(m.missed or {_OVERDUE})"
_SETTLED = f"""({_OVERDUE}
    or coalesce(m.first_reply_missed, m.next_reply_missed, m.resolution_missed) is not null)"""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure: which rows, of which time, with which value."""

    name: str
    title: str
    definition: str
    unit: Unit
    at: str
    """SQL: the time by which a row belongs to a period; empty: it is of now."""
    where: str = "true"
    value: str = NO_VALUE
    """SQL: what percentiles are of; whole numbers."""
    source: str = FROM
    """What it selects from, as `m`; what belongs to a period by the same time is counted of it in one walk."""


@dataclass(frozen=True, slots=True)
class Share:
    """One measure out of another."""

    name: str
    title: str
    definition: str
    part: str
    whole: str
    good: Literal["up", "down"]


_BUSINESS = (
    "Time counts within the business hours of the policy's calendar, and stands still while its policy pauses it."
)

MEASURES = {
    each.name: each
    for each in (
        Measure(
            "volume",
            "Interactions",
            "Interactions that began in the period, in either direction. Spam is left out; merged ones count once.",
            "count",
            "m.started_at",
        ),
        Measure(
            "contacts",
            "Contacts",
            "Interactions that a customer began in the period.",
            "count",
            "m.started_at",
            "m.inbound",
        ),
        Measure(
            "first_reply",
            "First reply",
            "From the beginning of an interaction to the first public message that one of us wrote; automatic messages "
            f"do not count. {_BUSINESS} Of the period are first replies that were written in it.",
            "business",
            "m.first_reply_at",
            "m.first_reply_s is not null",
            "m.first_reply_s",
        ),
        Measure(
            "resolution",
            "Resolution",
            "From the beginning of an interaction to its last solving, without the time in which it was solved before. "
            f"{_BUSINESS} Of the period are those that were solved in it and still are.",
            "business",
            "m.resolved_at",
            "m.resolution_s is not null",
            "m.resolution_s",
        ),
        Measure(
            "solved",
            "Solved or reopened",
            "Interactions that began in the period and are solved, or were until their customer wrote again.",
            "count",
            "m.started_at",
            "(m.resolved_at is not null or m.reopens > 0)",
        ),
        Measure(
            "reopened",
            "Reopened",
            "Interactions that began in the period, were solved, and in which the customer wrote again afterwards.",
            "count",
            "m.started_at",
            "m.reopens > 0",
        ),
        Measure(
            "traceable",
            "With user and topic",
            "Contacts that began in the period and have both a user and a topic.",
            "count",
            "m.started_at",
            "m.inbound and m.user_id is not null and m.topic_id is not null",
        ),
        Measure(
            "repeated",
            "Repeat contacts",
            "Contacts that began in the period and follow another interaction of the same user on the same topic "
            "within 7 days.",
            "count",
            "m.started_at",
            f"m.inbound and m.last_at >= m.started_at - {WEEK}",
            source=_IN_TURN,
        ),
        Measure(
            "promised",
            "Promises due",
            "Interactions that began in the period and of which a promise (first reply, next reply, resolution) was "
            "kept, or is past its time.",
            "count",
            "m.started_at",
            _SETTLED,
        ),
        Measure(
            "kept",
            "Promises kept",
            "Interactions that began in the period and of which promises were kept, and none was missed or is overdue.",
            "count",
            "m.started_at",
            f"{_SETTLED} and not {_MISSED}",
        ),
        Measure(
            "missed",
            "Promises missed",
            "Interactions that began in the period and of which a promise was missed, or is overdue.",
            "count",
            "m.started_at",
            _MISSED,
        ),
        Measure(
            "asked",
            "Asked for a rating",
            "Interactions whose customer was asked in the period how they were helped. A rating that an import brought "
            "along counts as asked for when it was given.",
            "count",
            "m.csat_asked_at",
            "m.csat_asked_at is not null",
        ),
        Measure(
            "rated",
            "Ratings",
            "Interactions whose customer was asked in the period and rated, from 1 to 5.",
            "score",
            "m.csat_asked_at",
            "m.csat_asked_at is not null and m.csat_score is not null",
            "m.csat_score",
        ),
        Measure(
            "satisfied",
            "Satisfied",
            "Interactions whose customer was asked in the period and rated 4 or 5, out of 5.",
            "score",
            "m.csat_asked_at",
            "m.csat_asked_at is not null and m.csat_score >= 4",
            "m.csat_score",
        ),
        Measure(
            "logging",
            "Logging time",
            "From opening the form to saving it, of interactions that people logged by hand in the period.",
            "ms",
            "m.logged_at",
            "m.logged_ms is not null",
            "m.logged_ms",
        ),
        Measure(
            "backlog",
            "Backlog age",
            "How long ago those that are not solved now began, nights and weekends included.",
            "elapsed",
            "",
            "m.active",
            "floor(date_part('epoch', :now - m.started_at))::bigint",
        ),
    )
}
SHARES = {
    each.name: each
    for each in (
        Share(
            "reopen_rate",
            "Reopened",
            "Of the interactions that began in the period and are solved, or were until their customer wrote again, "
            "the share in which the customer did.",
            "reopened",
            "solved",
            "down",
        ),
        Share(
            "repeat_rate",
            "Repeat contacts",
            "Of the contacts with a user and a topic that began in the period, the share that follows another one of "
            "the same user on the same topic within 7 days.",
            "repeated",
            "traceable",
            "down",
        ),
        Share(
            "sla",
            "Promises kept",
            "Of the interactions that began in the period and had a promise that came due (first reply, next reply or "
            "resolution), the share in which none was missed or is overdue.",
            "kept",
            "promised",
            "up",
        ),
        Share(
            "csat",
            "Satisfied",
            "Of the ratings by customers who were asked in the period, the share of 4 and 5 out of 5. Read it with the "
            "share of those asked who answered: few answers are mostly those of the very pleased and the very angry.",
            "satisfied",
            "rated",
            "up",
        ),
        Share(
            "response_rate",
            "Answered",
            "Of the customers who were asked in the period, the share that rated.",
            "rated",
            "asked",
            "up",
        ),
    )
}
