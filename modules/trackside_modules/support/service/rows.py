"""Writing rows by one statement: as JSON where they may be there already, by COPY where there are many new ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from psycopg import Connection, sql
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


def copy(session: Session, model: type[Base], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write `rows` of the columns `names`, none of which is there: half the work of `insert` for PostgreSQL.

    A dict is given as its JSON, which is a string.
    """
    raw: Any = session.connection().connection.driver_connection
    connection: Connection[Any] = raw
    table, columns = sql.Identifier(model.__tablename__), sql.SQL(", ").join(map(sql.Identifier, names))
    statement = sql.SQL("copy {} ({}) from stdin").format(table, columns)
    with connection.cursor() as cursor, cursor.copy(statement) as target:
        for row in rows:
            target.write_row(row)
