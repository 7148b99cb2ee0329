"""Keeping what clocks show: made anew with each event, and in the background when the rules have changed.

A row says by which version of the rules and up to which event it was computed. One of an older version is stale:
`stale` counts them, `remeasure` makes them anew a batch at a time. One with earlier events, or with the same and
earlier rules, is never written over it; a late one of older rules is stale again, and the next tick makes it anew.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from trackside_modules.support import words
from trackside_modules.support.clocks.hours import hours_of
from trackside_modules.support.clocks.metrics import Metrics, measure
from trackside_modules.support.clocks.rules import About, Rules
from trackside_modules.support.clocks.walks import Walk, walk
from trackside_modules.support.history import Event, State
from trackside_modules.support.lookup.interactions import histories_of
from trackside_modules.support.models import FrozenContext, Metric
from trackside_modules.support.service import rows
from trackside_modules.support.service import rules as ruling

BATCH = 500
COLUMNS = tuple(column.name for column in Metric.__table__.columns)
_PUT = text(f"""
insert into support_metric ({", ".join(COLUMNS)})
select {", ".join(COLUMNS)} from jsonb_populate_recordset(null::support_metric, cast(:rows as jsonb))
order by interaction_id
on conflict (interaction_id) do update
    set {", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "interaction_id")}
    where (excluded.seq, excluded.rules_version) >= (support_metric.seq, support_metric.rules_version)
""")  # noqa: S608 - names of our own columns


def write(session: Session, walks: Mapping[int, Walk], *, new: bool) -> None:
    """Make the metrics of the interactions in `walks` anew, by the rules that hold (see `caches`)."""
    rules = ruling.current(session)
    plans = _plans(session, walks, rules)
    found = [metric_of(number, each, rules, plans.get(number, "")) for number, each in walks.items()]
    if found and new:
        rows.insert(session, Metric, found)
    elif found:
        session.execute(_PUT, {"rows": msgspec.json.encode(found).decode()})


def metric_of(number: int, walk: Walk, rules: Rules, plan: str = "") -> dict[str, Any]:
    """Return the row of an interaction by all its events; `plan` is its account's, when it was logged."""
    state = walk.state
    about = About(state.kind, state.priority, state.channel, plan, tuple(state.tags), state.topic_id)
    policy = rules.policy_for(about)
    hours = hours_of(rules.calendar(policy.calendar_id))
    found = measure(walk.steps, policy, hours, inbound=state.direction == "in")
    return {
        "interaction_id": number,
        "seq": state.version,
        "rules_version": rules.version,
        "policy_id": policy.id,
        **_values(found),
        **_said(walk.events),
        **_told_by(state),
    }


def _values(found: Metrics) -> dict[str, Any]:
    due_at, due_what = found.next_due or (None, None)
    return {
        "started_at": found.started_at,
        "first_reply_at": found.first_reply_at,
        "first_reply_s": found.first_reply,
        "first_reply_due": found.first_reply_due,
        "first_reply_missed": found.first_reply_missed,
        "next_replies": found.next_replies,
        "next_reply_s": found.next_reply,
        "next_reply_due": found.next_reply_due,
        "next_reply_missed": found.next_reply_missed,
        "resolved_at": found.resolved_at,
        "resolution_s": found.resolution,
        "resolution_due": found.resolution_due,
        "resolution_missed": found.resolution_missed,
        "due_at": due_at,
        "due_what": due_what,
        "missed": found.missed,
        "replies": found.replies,
        "reopens": found.reopens,
    }


def _said(events: Sequence[Event]) -> dict[str, Any]:
    """Return what is of no clock: how long the logging took, and what the customer said of us."""
    # nobody says of an imported rating when it was asked for
    asked = next((event.at for event in events if event.kind in ("csat_asked", "csat")), None)
    rated = next((event for event in reversed(events) if event.kind == "csat"), None)
    logged_ms = events[0].data.get("logged_ms")
    return {
        "logged_ms": logged_ms,
        "logged_at": None if logged_ms is None else events[0].recorded_at,
        "csat_asked_at": asked,
        "csat_at": rated.at if rated else None,
        "csat_score": rated.data["score"] if rated else None,
    }


def _told_by(state: State) -> dict[str, Any]:
    """Return what reports are narrowed to and told by."""
    counted = state.merged_into is None and state.status != "spam"
    return {
        "counted": counted,
        "active": counted and state.status in words.ACTIVE,
        "inbound": state.direction == "in",
        "kind": state.kind,
        "channel": state.channel,
        "topic_id": state.topic_id,
        "user_id": state.user_id,
        "account_id": state.account_id,
    }


def _plans(session: Session, numbers: Collection[int], rules: Rules) -> dict[int, str]:
    """Return the plans of the accounts, as frozen; asked for where a policy minds."""
    if not any(policy.when.plans for policy in rules.policies):
        return {}
    plan = func.jsonb_extract_path_text(FrozenContext.data, "account", "plan")
    query = select(FrozenContext.interaction_id, plan).where(FrozenContext.interaction_id.in_(numbers))
    return {number: name or "" for number, name in session.execute(query)}


def stale(session: Session, rules: Rules) -> int:
    """Return how many interactions have metrics of an older version of the rules."""
    query = select(func.count()).select_from(Metric).where(Metric.rules_version < rules.version)
    return session.scalar(query) or 0


def remeasure(session: Session, *, after: int = 0) -> int | None:
    """Make the next batch of stale metrics beyond `after` anew; return the last interaction, None where all are."""
    version = ruling.current(session).version
    query = (
        select(Metric.interaction_id)
        .where(Metric.rules_version < version, Metric.interaction_id > after)
        .order_by(Metric.interaction_id)
        .limit(BATCH)
    )
    numbers = session.scalars(query).all()
    write(session, {number: walk(events) for number, events in histories_of(session, numbers).items()}, new=False)
    return numbers[-1] if numbers else None
