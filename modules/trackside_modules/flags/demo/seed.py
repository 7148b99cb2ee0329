"""The demo's flags, put there with their past."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.demo import ENVIRONMENT
from trackside.runtime import Runtime
from trackside.workspace import environments
from trackside_modules.flags import service
from trackside_modules.flags.demo import given
from trackside_modules.flags.demo.story import LENA, OMAR, RAMP_DAYS, STORIES, Event, Story, ramp
from trackside_modules.flags.models import Flag
from trackside_modules.flags.service import edits, steps


def seed(runtime: Runtime, session: Session) -> None:
    """Make the flags that are missing, as if it had been done day by day; those that are there stay as they are."""
    now = runtime.clock.now()
    there = set(session.scalars(select(Flag.key).where(Flag.key.in_([each.key for each in STORIES]))))
    known = {each.slug: each.id for each in environments(session)}
    for story in STORIES:
        if story.key not in there:
            _tell(session, story, known, now)
    key = "checkout/one-page"
    if key not in there and ENVIRONMENT in known:
        at = now - timedelta(days=RAMP_DAYS)
        service.change(
            session, known[ENVIRONMENT], key, ramp(now), who=LENA, now=at, reason="All is well: on to everybody"
        )
        steps.mark(session, now=now)
        edit, why = edits.both({"rules": []}, edits.rollout(100_000)), "Support asks for one answer for all: finish it"
        how: dict[str, Any] = {"who": OMAR, "now": now - timedelta(hours=5), "reason": why}
        service.requests.propose(session, known[ENVIRONMENT], key, edit, **how)
    fresh = [each for each in STORIES if each.key not in there]
    if fresh and ENVIRONMENT in known:
        given.seed(session, fresh, now)


def _tell(session: Session, story: Story, known: dict[str, int], now: datetime) -> None:
    made = now - timedelta(days=story.days)
    fields = dict(story.given) | {"name": story.name, "description": story.description, "tags": list(story.tags)}
    if story.end is not None:
        fields["expected_end"] = now + timedelta(days=story.end)
    service.create(session, story.key, who=LENA, now=made, template=story.template, reason=story.description, **fields)
    for event in story.events:
        if event.env in known:
            _do(session, story, event, known[event.env], now - timedelta(days=event.days))
    if story.archived is not None:
        at = now - timedelta(days=story.archived)
        service.archive(session, story.key, who=LENA, now=at, reason="Taken out of the code")


def _do(session: Session, story: Story, event: Event, env_id: int, at: datetime) -> None:
    service.change(session, env_id, story.key, event.edit, who=event.who, now=at, reason=event.reason, approved=True)
