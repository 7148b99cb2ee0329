"""Topics by what people type for them."""

import re
import unicodedata

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside_modules.support.models import Topic, TopicAlias


def slug_of(name: str) -> str:
    """Return what is typed for `name`: `API keys` is `api-keys`; letters of other scripts stay."""
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    return re.sub(r"[^\w]+", "-", plain, flags=re.UNICODE).strip("-_")


def path_of(text: str) -> str:
    """Return `text` as a path or alias is kept: `#Billing/API keys` is `billing/api-keys`."""
    return "/".join(filter(None, (slug_of(part) for part in text.strip().lstrip("#").split("/"))))


def find(session: Session, text: str) -> Topic | None:
    """Return the topic that `text` means, by path, alias or the last part of a path that no other has; or None."""
    path = path_of(text)
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
