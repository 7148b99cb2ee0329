"""What the customers room adds elsewhere: accounts and users in the palette."""

from flask import url_for
from sqlalchemy.orm import Session

from trackside.customers.kinds import ACCOUNT, USER
from trackside.customers.queries import Filter, listed
from trackside.runtime import Runtime
from trackside.web.palette import PER_GROUP, PaletteHit
from trackside.web.policy import allowed


def palette(runtime: Runtime, session: Session, env_id: int, text: str) -> list[PaletteHit]:
    """Return the accounts and users that `text` is part of, those seen last first."""
    if not allowed("customers.view"):
        return []
    hits = []
    for kind in (ACCOUNT, USER):
        for row in listed(session, kind, Filter(q=text), PER_GROUP).rows:
            detail = (row.external_id or "") if row.label != row.external_id else ""
            url = url_for(f"{kind.plural}.show", row_id=row.id)
            hits.append(PaletteHit(row.label, url, kind.title, kind.plural, detail))
    return hits
