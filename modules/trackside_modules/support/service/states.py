"""Writing what interactions are now into `support_interaction` and `support_link`."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.clocks.walks import Walk
from trackside_modules.support.history import State
from trackside_modules.support.models import Interaction, Link
from trackside_modules.support.service import rows

COLUMNS = tuple(name for name in State.__struct_fields__ if name != "links")
_NAMES = ("id", *COLUMNS)
_values = attrgetter(*COLUMNS)
_UNLINK = text("delete from support_link where interaction_id = any(cast(:ids as bigint[]))")


def write(session: Session, walks: Mapping[int, Walk], *, new: bool) -> None:
    """Replace what is kept of the interactions in `walks`, which are locked, or new (see `caches`)."""
    found = [dict(zip(_NAMES, (number, *_values(each.state)), strict=True)) for number, each in walks.items()]
    rows.insert(session, Interaction, found, replace="" if new else "id")
    if not new:
        session.execute(_UNLINK, {"ids": list(walks)})
    rows.insert(session, Link, [link for number, each in walks.items() for link in _links(number, each.state)])


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
