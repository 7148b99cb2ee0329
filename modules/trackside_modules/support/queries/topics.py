"""The tree of topics, as it is read: a merged topic is the one that stands for it."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from trackside_modules.support.models import Topic, TopicAlias


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


def paths(session: Session) -> dict[int, str]:
    """Return the path of each topic, by what stands for it where it was merged."""
    stands = aliased(Topic)
    query = select(Topic.id, func.coalesce(stands.path, Topic.path)).outerjoin(stands, stands.id == Topic.merged_into)
    return dict(session.execute(query).all())
