"""Exporting what a list shows, all its pages: CSV that imports again, or JSON. Streamed, so memory stays flat."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from trackside.csv_lines import line
from trackside.customers.kinds import C, Customer, Kind
from trackside.customers.models import User
from trackside.customers.queries import Filter, attribute_names, every


def as_csv(session: Session, kind: Kind[C], wanted: Filter) -> Iterator[str]:
    """Yield the lines of a CSV file: the fields, then a column for each attribute."""
    names = attribute_names(session, kind, wanted)
    heads: list[str] = [f"attributes.{name}" for name in names]
    yield line(["external_id", *kind.fields, "source", "first_seen", "last_seen", *heads])
    for row in every(session, kind, wanted):
        yield line(_cells(row, kind.fields, names))


def as_json(session: Session, kind: Kind[C], wanted: Filter) -> Iterator[str]:
    """Yield the pieces of one JSON array."""
    before = "[\n"
    for row in every(session, kind, wanted):
        yield before + msgspec.json.encode(as_dict(row)).decode()
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


FORMATS: dict[str, Callable[..., Iterator[str]]] = {"csv": as_csv, "json": as_json}


def as_dict(row: Customer) -> dict[str, Any]:
    """Return `row` as plain values: what exports, commands and the API show of it."""
    own: dict[str, Any] = {"id": row.id, "external_id": row.external_id, "name": row.name}
    if isinstance(row, User):
        own |= {"email": row.email, "account": row.account.external_id if row.account else None}
    else:
        own["plan"] = row.plan
    return own | {
        "attributes": row.attributes,
        "source": row.source,
        "created_at": row.created_at,
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
        "version": row.version,
    }


def _cells(row: Customer, fields: Sequence[str], names: Sequence[str]) -> list[str]:
    values = as_dict(row)
    own = [str(values[name] or "") for name in ("external_id", *fields, "source")]
    return [*own, _time(row.first_seen), _time(row.last_seen), *(str(row.attributes.get(name, "")) for name in names)]


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else ""
