"""Writing rows, one or thousands of them, by one statement: they go to PostgreSQL as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside.db import Base

_encode = msgspec.json.Encoder().encode


def insert(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]], *, replace: str = "") -> None:
    """Write `rows`, which all have the same columns; with `replace`, the key, those that are there are replaced."""
    if not rows:
        return
    table, names = model.__tablename__, list(rows[0])
    columns = ", ".join(names)
    others = ", ".join(f"{each} = excluded.{each}" for each in names if each not in replace.split(", "))
    then = f"on conflict ({replace}) do update set {others} where {table} is distinct from excluded" if replace else ""
    # every name is a column of ours
    statement = (
        f"insert into {table} ({columns}) select {columns}"  # noqa: S608
        f" from json_populate_recordset(null::{table}, cast(:rows as json)) {then}"
    )
    session.execute(text(statement), {"rows": _encode(rows).decode()})
