"""What webhooks tell of an interaction: as the API shows it, as it was when that happened."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from trackside.runtime import Runtime
from trackside_modules.support.api.shapes import EventOut, InteractionOut
from trackside_modules.support.queries import moments, threads


def happened(runtime: Runtime, session: Session, ref: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the interaction and the event that `ref` names, None where its customer was erased. Raises NotFound."""
    found = moments.moment(session, ref["number"], ref["seq"])
    if found is None:
        return None
    row, event = found
    interaction = msgspec.structs.asdict(InteractionOut.of(row))
    del interaction["said"]
    who = threads.name_of(session, row.id, event)
    return {
        "interaction": interaction,
        "event": EventOut.of(row.id, event, who),
        "url": f"{runtime.settings.base_url.rstrip('/')}/support/{row.id}",
    }
