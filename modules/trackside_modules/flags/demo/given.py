"""Who was given what in the demo's last weeks: each caller evaluated day by day, as the rules then stood."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.demo import ENVIRONMENT
from trackside.demo.people import COMPANIES, callers
from trackside.workspace import environment_by_slug
from trackside_client.flags import parse
from trackside_modules.flags import ruleset, shape
from trackside_modules.flags.demo.story import Story
from trackside_modules.flags.exposures import fold
from trackside_modules.flags.exposures.entries import Entry
from trackside_modules.flags.models import Change, Flag

DAYS = 28
A_DAY = 160
"""Evaluations of a caller of weight 1, of a flag that each call asks for."""
_WEEK = (1.0, 1.1, 1.05, 1.0, 0.9, 0.45, 0.4)


def seed(session: Session, stories: Sequence[Story], now: datetime) -> None:
    """Add the exposures of `stories`: the same ones for the same day, whenever it is done."""
    env_id = environment_by_slug(session, ENVIRONMENT).id
    sums = fold.Sums()
    for story in stories:
        if story.popularity and story.archived is None:
            _add(session, env_id, story, now, sums)
    session.flush()
    connection: Any = session.connection().connection.driver_connection
    fold.write(connection, env_id, sums)


def _add(session: Session, env_id: int, story: Story, now: datetime, sums: fold.Sums) -> None:
    flag = session.scalars(select(Flag).where(Flag.key == story.key)).one()
    query = select(Change).where(Change.flag_id == flag.id, Change.env_id == env_id, Change.what != "step")
    changes = session.scalars(query.order_by(Change.id)).all()
    plans = {each.external_id: each.plan for each in COMPANIES}
    draw = Random(story.key)  # noqa: S311 - chooses nothing secret
    for back in range(DAYS, -1, -1):
        at = min(now, now.replace(hour=17, minute=0, second=0, microsecond=0) - timedelta(days=back))
        config = _config(changes, at)
        if config is None or (back == 0 and at == now and now.hour < 1):
            continue
        rules = parse({"schema": ruleset.SCHEMA, "flags": {flag.key: _composed(flag, config)}})
        for person in callers():
            count = round(person.weight * story.popularity * A_DAY * _WEEK[at.weekday()] * draw.uniform(0.8, 1.2))
            who = {shape.USER: person.external_id, shape.ACCOUNT: person.account_id, "plan": plans[person.account_id]}
            variant = rules.evaluate(flag.key, who, at).variant
            if count and variant is not None:
                millis = int(at.timestamp() * 1000) - draw.randrange(3_600_000)
                shown = (flag.key, variant)
                sums.add(Entry(user=person.external_id, account=person.account_id, shown=shown, at=millis, count=count))


def _config(changes: Sequence[Change], at: datetime) -> Mapping[str, Any] | None:
    """Return the config as it stood at a moment; None before the flag was made."""
    past = [each.after for each in changes if each.at <= at]
    return past[-1] if past else None


def _composed(flag: Flag, config: Mapping[str, Any]) -> dict[str, Any]:
    return shape.compose(ruleset.definition(flag), config)
