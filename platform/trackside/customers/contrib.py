"""What the customers room adds elsewhere: accounts and users in the palette."""

from flask import url_for
from sqlalchemy.orm import Session

from trackside.customers.kinds import ACCOUNT, USER, C, Customer, Kind
from trackside.customers.queries import Filter, listed
from trackside.runtime import Runtime
from trackside.web.palette import PaletteHit
from trackside.web.policy import allowed

LIMIT = 5
"""Hits of each kind: the palette is for going somewhere, the lists are for looking through."""


def palette(runtime: Runtime, session: Session, env_id: int, text: str) -> list[PaletteHit]:
    """Return the accounts and users that `text` is part of, those seen last first."""
    if not allowed("customers.view"):
        return []
    return [*_hits(session, ACCOUNT, text), *_hits(session, USER, text)]


def _hits(session: Session, kind: Kind[C], text: str) -> list[PaletteHit]:
    return [
        PaletteHit(row.label, url_for(f"{kind.plural}.show", row_id=row.id), kind.plural, _about(kind, row))
        for row in listed(session, kind, Filter(q=text), LIMIT).rows
    ]


def _about(kind: Kind[C], row: Customer) -> str:
    name = kind.name.capitalize()
    return f"{name} {row.external_id}" if row.label != row.external_id else name
