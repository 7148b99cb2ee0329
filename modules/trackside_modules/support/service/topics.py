"""Topics: a tree whose branches are found by path or alias, renamed, moved, merged and archived.

A merged topic stays where it is and points at the one that stands for it: interactions keep the topic they were given,
and whoever reads follows (see `queries.topics`).
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor, audit
from trackside.errors import Conflict, NotFound
from trackside.text import clean_line
from trackside_modules.support.lookup.topics import find, path_of, slug_of
from trackside_modules.support.models import Topic, TopicAlias
from trackside_modules.support.service import fields, rules

LONGEST = 60
DEEPEST = 4


def get(session: Session, topic_id: int) -> Topic:
    """Return the topic `topic_id`; raises NotFound."""
    found = session.get(Topic, topic_id) if 0 < topic_id < 1 << 63 else None
    if found is None:
        raise NotFound("There is no such topic.")
    return found


def pick(session: Session, topic_id: int | None, text: str = "") -> int | None:
    """Return the id of the topic meant by number or by text, or None where neither is given; raises InputError."""
    if topic_id is not None:
        found = session.get(Topic, topic_id) if 0 < topic_id < 1 << 63 else None
        if found is None:
            raise fields.wrong("topic", "There is no such topic.")
        return found.merged_into or found.id
    if not text.strip():
        return None
    named = find(session, text)
    if named is None:
        raise fields.wrong("topic", f"There is no topic {text!r}: choose another, or add it under Topics.")
    return named.id


def create(
    session: Session, name: str, *, who: Actor, now: datetime, parent_id: int | None = None, aliases: Iterable[str] = ()
) -> Topic:
    """Make a topic; raises InputError for a wrong name, Conflict where its path is taken."""
    name = _name(name)
    parent = get(session, parent_id) if parent_id is not None else None
    topic = Topic(name=name, parent_id=parent_id, path=_path(parent, name), created_at=now)
    _must_be_free(session, topic.path)
    session.add(topic)
    session.flush()
    set_aliases(session, topic, aliases)
    rules.follow_topics(session, who=who, now=now)
    _note(session, who, "created", topic, now)
    return topic


def change(session: Session, topic_id: int, *, name: str, parent_id: int | None, who: Actor, now: datetime) -> Topic:
    """Rename or move a topic; its old path stays an alias, and those below move along."""
    topic = get(session, topic_id)
    parent = get(session, parent_id) if parent_id is not None else None
    if parent is not None and f"{parent.path}/".startswith(f"{topic.path}/"):
        raise fields.wrong("parent", "A topic cannot be below itself.")
    before, topic.name = topic.path, _name(name)
    after = _path(parent, topic.name)
    if after != before:
        _must_be_free(session, after)
        below = session.scalars(select(Topic).where(Topic.path.startswith(f"{before}/", autoescape=True))).all()
        for each in (topic, *below):
            old, each.path = each.path, after + each.path[len(before) :]
            session.flush()
            _add_alias(session, old, each.id)
    topic.parent_id = parent_id
    session.flush()
    rules.follow_topics(session, who=who, now=now)
    audit(
        session,
        who,
        "support_topic.edited",
        "support_topic",
        topic.id,
        topic.path,
        at=now,
        changes={"path": [before, after]},
    )
    return topic


def set_aliases(session: Session, topic: Topic, aliases: Iterable[str]) -> None:
    """Let `aliases` and no others be further words for `topic`; raises Conflict where one means another topic."""
    wanted = {path_of(each) for each in aliases} - {"", topic.path}
    session.execute(delete(TopicAlias).where(TopicAlias.topic_id == topic.id))
    for alias in sorted(wanted):
        _must_be_free(session, alias)
        session.add(TopicAlias(alias=alias, topic_id=topic.id))
    session.flush()


def merge(session: Session, topic_id: int, into_id: int, *, who: Actor, now: datetime) -> Topic:
    """Let the topic `into_id` stand for `topic_id` too, its words included; raises InputError, Conflict."""
    topic, target = get(session, topic_id), get(session, into_id)
    if target.merged_into is not None or topic.merged_into is not None:
        raise Conflict("One of the topics was merged already.")
    if f"{target.path}/".startswith(f"{topic.path}/"):
        raise fields.wrong("into", "A topic cannot be merged into itself or one below it.")
    session.execute(update(Topic).where(Topic.merged_into == topic.id).values(merged_into=target.id))
    session.execute(update(Topic).where(Topic.parent_id == topic.id).values(parent_id=target.id))
    session.execute(update(TopicAlias).where(TopicAlias.topic_id == topic.id).values(topic_id=target.id))
    topic.merged_into, topic.archived_at = target.id, topic.archived_at or now
    session.flush()
    rules.follow_topics(session, who=who, now=now)
    audit(
        session,
        who,
        "support_topic.merged",
        "support_topic",
        topic.id,
        topic.path,
        at=now,
        changes={"into": target.path},
    )
    return target


def archive(session: Session, topic_id: int, *, archived: bool, who: Actor, now: datetime) -> Topic:
    """Offer a topic no more, or again; interactions keep it either way."""
    topic = get(session, topic_id)
    if not archived and topic.merged_into is not None:
        raise Conflict("This topic was merged: it cannot come back.")
    topic.archived_at = (topic.archived_at or now) if archived else None
    session.flush()
    _note(session, who, "archived" if archived else "restored", topic, now)
    return topic


def _name(name: str) -> str:
    clean = clean_line(name, "name", longest=LONGEST)
    if not slug_of(clean):
        raise fields.wrong("name", "Use letters or digits.")
    return clean


def _path(parent: Topic | None, name: str) -> str:
    path = f"{parent.path}/{slug_of(name)}" if parent else slug_of(name)
    if path.count("/") >= DEEPEST:
        raise fields.wrong("parent", f"Topics are {DEEPEST} deep at most.")
    return path


def _must_be_free(session: Session, path: str) -> None:
    taken = select(func.count()).select_from(Topic).where(Topic.path == path)
    alias = select(func.count()).select_from(TopicAlias).where(TopicAlias.alias == path)
    if session.scalar(taken) or session.scalar(alias):
        raise Conflict(f"There is a topic or an alias {path!r} already.")


def _add_alias(session: Session, alias: str, topic_id: int) -> None:
    if session.get(TopicAlias, alias) is None and not session.scalar(select(Topic.id).where(Topic.path == alias)):
        session.add(TopicAlias(alias=alias, topic_id=topic_id))
        session.flush()


def _note(session: Session, who: Actor, what: str, topic: Topic, now: datetime, **changes: object) -> None:
    audit(session, who, f"support_topic.{what}", "support_topic", topic.id, topic.path, at=now, changes=changes)


__all__ = ["archive", "change", "create", "find", "get", "merge", "path_of", "pick", "set_aliases", "slug_of"]
