"""Writing what interactions are now into `support_interaction` and `support_link`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from trackside_modules.support.history import State
from trackside_modules.support.models import Interaction, Link

COLUMNS = tuple(each.name for each in fields(State) if each.name != "links")


def write(session: Session, states: Mapping[int, State]) -> None:
    """Replace what is kept of the interactions in `states`, which are locked or new."""
    rows = [{"id": number, **_values(state)} for number, state in states.items()]
    statement = insert(Interaction.__table__)
    replaced = {name: statement.excluded[name] for name in COLUMNS}
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=replaced), rows)
    session.execute(delete(Link).where(Link.interaction_id.in_(states)))
    links = [link for number, state in states.items() for link in _links(number, state)]
    if links:
        session.execute(Link.__table__.insert(), links)


def _values(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in COLUMNS}


def _links(number: int, state: State) -> list[dict[str, Any]]:
    return [
        {
            "interaction_id": number,
            "kind": kind,
            "ref": ref,
            "title": linked.title,
            "linked_at": linked.linked_at,
            "shipped_at": linked.shipped_at,
            "told_at": linked.told_at,
        }
        for (kind, ref), linked in state.links.items()
    ]
