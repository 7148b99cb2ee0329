"""The tree of topics, as it is read: a merged topic is the one that stands for it."""

from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from trackside_modules.support.models import Topic, TopicAlias

_BELOW = text("""
with recursive below (id) as (
    select id from support_topic where id = :topic
    union select it.id from below join support_topic it on below.id in (it.parent_id, it.merged_into)
)
select id from below
""")


@dataclass(frozen=True, slots=True)
class Node:
    """A topic in the tree."""

    id: int
    name: str
    path: str
    parent_id: int | None
    depth: int
    """0 at the top."""
    archived: bool
    aliases: tuple[str, ...]


def below(session: Session, topic_id: int) -> list[int]:
    """Return the ids that mean the topic `topic_id` or one below it, merged ones included."""
    return list(session.scalars(_BELOW, {"topic": topic_id}))


def tree(session: Session, *, archived: bool = False) -> list[Node]:
    """Return the topics in the order of their paths, without merged ones, and without archived ones unless asked."""
    aliases: dict[int, list[str]] = {}
    for topic_id, alias in session.execute(select(TopicAlias.topic_id, TopicAlias.alias).order_by(TopicAlias.alias)):
        aliases.setdefault(topic_id, []).append(alias)
    query = select(Topic).where(Topic.merged_into.is_(None)).order_by(func.replace(Topic.path, "/", "\x01"))
    return [
        Node(
            it.id,
            it.name,
            it.path,
            it.parent_id,
            it.path.count("/"),
            it.archived_at is not None,
            tuple(aliases.get(it.id, ())),
        )
        for it in session.scalars(query)
        if archived or it.archived_at is None
    ]
