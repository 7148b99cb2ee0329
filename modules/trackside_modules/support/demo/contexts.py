"""The frozen contexts of the demo's past: what was known of each customer, moved to when they wrote."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.module import Subject
from trackside.runtime import Runtime
from trackside_modules.support.demo.failing import SPOKEN_OF, with_calls
from trackside_modules.support.demo.seed import SOURCE
from trackside_modules.support.models import FrozenContext, Interaction
from trackside_modules.support.service import freezer

_SHORTEST = len("2026-11-23T10:00:00+00:00")


UNFINISHED = "unfinished"
"""Stands in a context that is made anew once all of the demo's past is written."""


def freeze(runtime: Runtime, *, last: bool = True) -> int:
    """Freeze a context for each of the demo's interactions that has none; return how many there were.

    The past was not measured at those moments, so it is today's, told as of then, with the calls they wrote of.
    Without `last` what is known now is kept as unfinished, and `last` makes it anew.
    """
    with runtime.database.session() as session:
        waiting = list(_waiting(session, last=last))
        known: dict[int, dict[str, Any]] = {}
        context_of, now = freezer(runtime), runtime.clock.now()
        for number, user_id, env_id, at, subject in waiting:
            if user_id not in known:
                known[user_id] = context_of(session, Subject("user", user_id, env_id))
            data = _moved(known[user_id], at - now) | ({} if last else {UNFINISHED: True})
            if calls := SPOKEN_OF.get(subject):
                data = with_calls(data, calls, at)
            session.merge(FrozenContext(interaction_id=number, data=data))
    return len(waiting)


def _waiting(session: Session, *, last: bool) -> Iterator[tuple[int, int, int, datetime, str]]:
    frozen = select(FrozenContext.interaction_id)
    if last:
        frozen = frozen.where(~FrozenContext.data.has_key(UNFINISHED))
    columns = (Interaction.id, Interaction.user_id, Interaction.env_id, Interaction.occurred_at, Interaction.subject)
    query = select(*columns).where(Interaction.source == SOURCE, Interaction.id.not_in(frozen))
    for number, user_id, env_id, at, subject in session.execute(query):
        if user_id and env_id:
            yield number, user_id, env_id, at, subject


def _moved(value: Any, by: timedelta) -> Any:
    """Return plain values with every moment in them moved."""
    if isinstance(value, dict):
        return {name: _moved(each, by) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, by) for each in value]
    if isinstance(value, str) and len(value) >= _SHORTEST and value[10:11] == "T":
        try:
            return (datetime.fromisoformat(value) + by).isoformat()
        except (ValueError, TypeError):
            return value
    return value
