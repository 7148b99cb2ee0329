"""What an interaction's properties are, beside its conversation: each a small form of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import g
from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside_modules.support import words
from trackside_modules.support.models import Interaction, Topic
from trackside_modules.support.web.base import Pairs

NONE = ("", "None")


@dataclass(frozen=True, slots=True)
class Property:
    """A property with what it may be; without choices it is typed."""

    name: str
    label: str
    key: str
    """The key that goes to it."""
    value: str
    pairs: Pairs | None

    @property
    def shown(self) -> str:
        """Return the value as people read it."""
        return dict(self.pairs or []).get(self.value, self.value) or "None"


def properties(session: Session, it: Interaction) -> list[Property]:
    """Return the properties of an interaction, in the order of their use."""
    return [
        Property("status", "Status", "u", it.status, list(words.STATUSES.items())),
        Property("assignee", "Assignee", "a", str(it.assignee_id or ""), [NONE, *members(session, it.assignee_id)]),
        Property("priority", "Priority", "p", it.priority, list(words.PRIORITIES.items())),
        Property("topic", "Topic", "t", str(it.topic_id or ""), [NONE, *topics(session, it.topic_id)]),
        Property("kind", "Kind", "", it.kind, list(words.KINDS.items())),
        Property("tags", "Tags", "l", " ".join(it.tags), None),
    ]


def members(session: Session, besides: int | None = None) -> list[tuple[str, str]]:
    """Return who may be given interactions; `besides` who was, though they left."""
    if "support_members" not in g:
        columns = (Member.id, Member.name, Member.email, Member.disabled_at)
        g.support_members = session.execute(select(*columns).order_by(Member.name, Member.email)).all()
    rows = g.support_members
    return [(str(row.id), row.name or row.email) for row in rows if row.disabled_at is None or row.id == besides]


def topics(session: Session, besides: int | None = None) -> list[tuple[str, str]]:
    """Return the topics that can be chosen, each below its parent; `besides` one that is not offered any more."""
    rows: Sequence[Topic] = session.scalars(select(Topic).order_by(Topic.path).limit(1000)).all()
    offered = [row for row in rows if (row.archived_at is None and row.merged_into is None) or row.id == besides]
    return [(str(row.id), "\u2007\u2007" * row.path.count("/") + row.name) for row in offered]
