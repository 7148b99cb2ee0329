# ruff: noqa: E501 - texts, each a line
"""The demo's support log, put there with its past."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.auth.models import Member
from trackside.customers.models import User
from trackside.demo import ENVIRONMENT, story
from trackside.jobs.tasks import enqueue
from trackside.runtime import Runtime
from trackside.workspace import environment_by_slug
from trackside_modules.support import attachments, service
from trackside_modules.support.demo.cases import TOPICS
from trackside_modules.support.demo.past import LENA, OMAR, Happening, Told, told
from trackside_modules.support.history import Event
from trackside_modules.support.models import Interaction, Macro, SavedView, Topic
from trackside_modules.support.service.files import attach

SOURCE = "demo"
TEAM = {LENA: "lena.fischer@demo.invalid", OMAR: "omar.reyes@demo.invalid"}
"""Who answered in the past: members who cannot sign in."""
MACROS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Ask for an example (demo)": (
        "Hello {{user.first_name|there}},\n\ncan you send us the id of one call that failed, and when it was? With it we find out in minutes what happened.\n\n{{me.first_name}}",
        {"status": "waiting_customer"},
    ),
    "Keys belong to one environment (demo)": (
        "Hello {{user.first_name|there}},\n\na key works in the environment it was made for. Make one for production under *Keys*; it works within ten seconds, and the old one goes on until you revoke it.\n\n{{me.first_name}}",
        {"status": "solved", "add_tags": ["keys"]},
    ),
    "It is with development (demo)": (
        "Hello {{user.first_name|there}},\n\nwe could reproduce what you see, and it is with development now. I will write as soon as it is out ({{ref}}).\n\n{{me.first_name}}",
        {"status": "waiting_dev"},
    ),
}
VIEWS = {"Slow labels (demo)": "tag:2.4.1", "Enterprise bugs (demo)": "kind:bug plan:enterprise status:active"}


def seed(runtime: Runtime, session: Session) -> None:
    """Tell the past where it is not told yet; deterministic for the same moment."""
    if session.scalar(select(Interaction.id).where(Interaction.source == SOURCE).limit(1)) is not None:
        return
    now = runtime.clock.now()
    people = _people(session)
    topics = _topics(session, now - timedelta(days=story.DAYS + 1))
    team = _team(session, now - timedelta(days=story.DAYS + 5))
    env_id = environment_by_slug(session, ENVIRONMENT).id
    known = [each for each in told(now) if each.person.external_id in people]
    histories = [_history(each, people[each.person.external_id], topics, team, env_id) for each in known]
    files: dict[int, list[int]] = {}
    for place, (each, history) in enumerate(zip(known, histories, strict=True)):
        history[0].data["external_ref"] = f"demo-{place + 1}"  # type: ignore[index]
        if each.case.files:
            files[place] = history[1].data["file_ids"] = _keep(runtime, session, each, history[1].at)  # type: ignore[index]
    numbers = service.bring_in(session, histories)
    for place, ids in files.items():
        attach(session, numbers[place], ids)
    _desk(session, now)
    enqueue(session, "support.demo_contexts", dedupe_key="support.demo_contexts")


def _history(each: Told, user: User, topics: Mapping[str, int], team: Mapping[str, int], env_id: int) -> list[Event]:
    events: list[Event] = []
    for happening in each.events:
        at = max(happening.at, events[-1].at) if events else happening.at
        customers = happening.who == "customer"
        events.append(
            Event(
                seq=len(events) + 1,
                at=at,
                kind=happening.kind,
                data=_data(happening, user, topics, team, env_id),
                recorded_at=at,
                member_id=team.get(happening.who),
                user_id=user.id if customers else None,
            )
        )
    return events


def _data(it: Happening, user: User, topics: Mapping[str, int], team: Mapping[str, int], env_id: int) -> dict[str, Any]:
    data = dict(it.data)
    if it.kind == "assign":
        data["to"] = team[data["to"]]
    if it.kind == "created":
        del data["account"]
        data |= {"topic_id": topics[data.pop("topic")], "user_id": user.id, "account_id": user.account_id}
        data["env_id"] = env_id
    return data


def _keep(runtime: Runtime, session: Session, each: Told, at: datetime) -> list[int]:
    """Keep what came along with the first message of a case."""
    given = [(name, text.encode()) for name, text in each.case.files]
    return attachments.keep(session, attachments.folder_of(runtime.settings), given, now=at)


def _people(session: Session) -> dict[str, User]:
    found = session.scalars(select(User).where(User.external_id.is_not(None), User.merged_into.is_(None)))
    return {row.external_id: row for row in found if row.external_id}


def _topics(session: Session, now: datetime) -> dict[str, int]:
    """Make the topics that are missing; return all by their path."""
    known = dict(session.execute(select(Topic.path, Topic.id)).all())
    for name, parent, aliases in TOPICS:
        path = "/".join(filter(None, (parent, service.topics.slug_of(name))))
        if path not in known:
            made = service.topics.create(
                session, name, parent_id=known.get(parent), aliases=aliases, who=SYSTEM, now=now
            )
            known[made.path] = made.id
    return known


def _team(session: Session, at: datetime) -> dict[str, int]:
    """Make the members who answered in the past: disabled, so that nobody signs in as one."""
    there = {row.email: row.id for row in session.scalars(select(Member).where(Member.email.in_(TEAM.values())))}
    for name, email in TEAM.items():
        if email not in there:
            row = Member(email=email, name=name, role="support", created_at=at, disabled_at=at)
            session.add(row)
            session.flush()
            there[email] = row.id
    return {name: there[email] for name, email in TEAM.items()}


def _desk(session: Session, now: datetime) -> None:
    session.add_all(
        Macro(name=name, body=body, acts=acts, created_at=now, member_id=None) for name, (body, acts) in MACROS.items()
    )
    session.add_all(
        SavedView(name=name, query=query, member_id=None, sort="updated", position=0, created_at=now)
        for name, query in VIEWS.items()
    )
    session.flush()
