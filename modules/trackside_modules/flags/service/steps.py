"""Marking what came by itself: a step of a ramp, or a time of the schedule, as it became true.

The engine's own clock decides who gets what; this only writes the history that pages and charts show, and counts the
ruleset's version up, so that clients which hold answers rather than rules ask again.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside_modules.flags import shape
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.service.work import Work


def mark(session: Session, *, now: datetime) -> int:
    """Write a change for each step that is past and not marked yet; return how many. Safe to repeat."""
    due = select(State.env_id).where(State.next_step_at <= now).distinct()
    env_ids = list(session.scalars(due))
    if not env_ids:
        return 0
    count = 0
    with Work.on(session, SYSTEM, "", now=now, env_ids=env_ids, approved=True) as work:
        query = (
            select(State, Flag)
            .join(Flag, Flag.id == State.flag_id)
            .where(State.next_step_at <= now, State.env_id.in_(env_ids))
            .order_by(State.env_id, State.flag_id)
            .execution_options(populate_existing=True)
        )
        for state, flag in session.execute(query).all():
            count += _mark(work, state, flag)
    return count


def _mark(work: Work, state: State, flag: Flag) -> int:
    since, state.next_step_at = state.next_step_at, None  # the work's end says when the next one is
    if flag.archived_at is not None:
        return 0
    passed = [at for at in shape.times(state.config) if since is not None and since <= at <= work.now]
    before = _working(state, passed[0] - timedelta(microseconds=1)) if passed else {}
    for at in passed:
        after = _working(state, at)
        changed = {name: after[name] for name in after if after[name] != before[name]}
        work.step(flag, state, {name: before[name] for name in changed}, changed, at)
        before = after
    return len(passed)


def _working(state: State, at: datetime) -> dict[str, Any]:
    config = shape.at_rest(state.config, at)
    return {name: config[name] for name in ("enabled", "rules", "serve")}
