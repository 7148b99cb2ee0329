"""Topics by what people type for them."""

import re
import unicodedata
from collections.abc import Collection

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from trackside_modules.support.models import Topic, TopicAlias

_BELOW = text("""
with recursive below (id) as (
    select id from support_topic where id = any(:topics)
    union select it.id from below join support_topic it on below.id in (it.parent_id, it.merged_into)
)
select id from below order by id
""")


def slug_of(name: str) -> str:
    """Return what is typed for `name`: `API keys` is `api-keys`; letters of other scripts stay."""
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    return re.sub(r"[^\w]+", "-", plain, flags=re.UNICODE).strip("-_")


def path_of(text: str) -> str:
    """Return `text` as a path or alias is kept: `#Billing/API keys` is `billing/api-keys`."""
    return "/".join(filter(None, (slug_of(part) for part in text.strip().lstrip("#").split("/"))))


def find(session: Session, typed: str) -> Topic | None:
    """Return the topic that `typed` means, by path, alias or the last part of a path that no other has; or None."""
    path = path_of(typed)
    if not path:
        return None
    found = session.scalar(select(Topic).where(Topic.path == path))
    if found is None:
        alias = select(TopicAlias.topic_id).where(TopicAlias.alias == path).scalar_subquery()
        found = session.scalar(select(Topic).where(Topic.id == alias))
    if found is None and "/" not in path:
        ends = session.scalars(select(Topic).where(Topic.path.endswith(f"/{path}", autoescape=True)).limit(2)).all()
        found = ends[0] if len(ends) == 1 else None
    return found if found is None or found.merged_into is None else session.get_one(Topic, found.merged_into)


def below(session: Session, *topic_ids: int) -> list[int]:
    """Return the ids that mean one of the topics or one below it, merged ones included."""
    return list(session.scalars(_BELOW, {"topics": list(topic_ids)}))


def standing(session: Session, topic_ids: Collection[int]) -> dict[int, int]:
    """Return for each of the topics that there are the one that stands for it: itself, unless it was merged."""
    query = select(Topic.id, func.coalesce(Topic.merged_into, Topic.id)).where(Topic.id.in_(topic_ids))
    return dict(session.execute(query.order_by(Topic.path)).all())
