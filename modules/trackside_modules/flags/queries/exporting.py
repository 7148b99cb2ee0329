"""All flags as one document."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from trackside.workspace import environments
from trackside_modules.flags import document
from trackside_modules.flags.models import Flag
from trackside_modules.flags.queries.listing import rows


def export(
    session: Session, env_ids: Collection[int] | None = None, *, keys: Collection[str] | None = None
) -> dict[str, Any]:
    """Return every flag (or `keys`), archived ones too, with its states in `env_ids` (None: in all), by key."""
    query = select(Flag).order_by(Flag.key.collate("C"))
    if keys is not None:
        query = query.where(Flag.key.in_(keys))
    slugs = {each.id: each.slug for each in environments(session) if env_ids is None or each.id in env_ids}
    found = {}
    for row in rows(session, list(session.scalars(query))):
        configs = {slug: row.states[env_id].config for env_id, slug in slugs.items() if env_id in row.states}
        found[row.flag.key] = document.written(row.flag, row.owner.email if row.owner else None, configs)
    return {"format": document.FORMAT, "flags": found}
