"""The tables of the tiers as the fold and the roll-up write them: by adding to rows, or by making a bucket anew."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, LiteralString, NamedTuple

import numpy as np
from psycopg import Connection, sql

from trackside_modules.usage.storage.columns import Blobs, Numbers, Times, teach
from trackside_modules.usage.storage.counts import Rows, unpacked
from trackside_modules.usage.storage.partitions import ensure
from trackside_modules.usage.storage.reach import unpack as unpack_users
from trackside_modules.usage.storage.tiers import Unit


@dataclass(frozen=True, slots=True)
class Table:
    """A table of counts: its columns in the order of `Rows`."""

    name: str
    unit: Unit
    keys: tuple[str, ...]
    sums: tuple[str, ...] = ("calls", "micros", "slow")
    approximate: bool = True
    users: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns but the environment."""
        rest = ("approximate",) * self.approximate + ("users",) * self.users
        return (*self.keys, *self.sums, "longest", "latency", *rest)


class Bucket(NamedTuple):
    """A span of time, `[start, end)`, of an environment."""

    env_id: int
    start: datetime
    end: datetime


_SORTS = ("calls", "micros", "slow", "client_errors", "server_errors", "wrong_turns")
MINUTE = Table("usage_minute", "minute", ("minute", "endpoint_id", "user_id", "status"))
HOUR = Table("usage_hour", "hour", ("at", "endpoint_id", "user_id", "status"))
DAY = replace(HOUR, name="usage_day", unit="day")
ENDPOINT_MINUTE = Table("usage_endpoint_minute", "minute", ("at", "endpoint_id", "status"), users=True)
ENDPOINT_HOUR = replace(ENDPOINT_MINUTE, name="usage_endpoint_hour", unit="hour")
ENDPOINT_DAY = replace(ENDPOINT_MINUTE, name="usage_endpoint_day", unit="day")
USER_HOUR = Table("usage_user_hour", "hour", ("at", "user_id"), _SORTS, approximate=False)
USER_DAY = replace(USER_HOUR, name="usage_user_day", unit="day")


def add(connection: Connection[Any], env_id: int, table: Table, rows: Rows) -> None:
    """Add to the rows of `table`, making those that are not there yet, and the partitions they fall on.

    Only the fold adds, holding its environment's lock: between reading a row's histogram and writing it nobody else
    changes it.
    """
    if not len(rows):
        return
    teach(connection)
    ensure(connection, table.unit, moments(rows))
    rows = _with_existing(connection, env_id, table, rows)
    connection.execute(_insert(table, adding=True), [env_id, *_parameters(table, rows)])


def put(connection: Connection[Any], bucket: Bucket, table: Table, rows: Rows) -> None:
    """Make the rows of a bucket be these and no others."""
    clear = "delete from {table} where env_id = %s and {at} >= %s and {at} < %s"
    names = {"table": sql.Identifier(table.name), "at": sql.Identifier(table.keys[0])}
    connection.execute(sql.SQL(clear).format(**names), bucket)
    if len(rows):
        teach(connection)
        ensure(connection, table.unit, moments(rows))
        connection.execute(_insert(table, adding=False), [bucket.env_id, *_parameters(table, rows)])


def moments(rows: Rows) -> set[datetime]:
    """Return the times of rows, one for each day that has some."""
    return {datetime.fromtimestamp(day * 86_400, UTC) for day in np.unique(rows.keys[0] // 86_400).tolist()}


def _with_existing(connection: Connection[Any], env_id: int, table: Table, rows: Rows) -> Rows:
    """Return `rows` with the histograms and users of the rows that are there added."""
    span = [datetime.fromtimestamp(int(at), UTC) for at in (rows.keys[0].min(), rows.keys[0].max())]
    # Planned anew each time: a plan made for a few rows compares each of many with each that is there.
    found = connection.execute(_existing(table), [*_keys(rows), env_id, *span], prepare=False).fetchall()
    if not found:
        return rows
    places = np.array([row[0] for row in found], dtype=np.int64) - 1
    latency = (rows.latency + unpacked([row[1] for row in found], places)).summed()
    if rows.users is None:
        return replace(rows, latency=latency)
    users = list(rows.users)
    for place, row in zip(places.tolist(), found, strict=True):
        users[place] = users[place] | unpack_users(row[2])
    return replace(rows, latency=latency, users=users)


def _keys(rows: Rows) -> list[Any]:
    return [Times(rows.keys[0]), *map(Numbers, rows.keys[1:])]


def _parameters(table: Table, rows: Rows) -> list[Any]:
    found = [*_keys(rows), *map(Numbers, rows.sums), Numbers(rows.longest), Blobs(rows.latency.pack(len(rows)))]
    if table.approximate and rows.approximate is not None:
        found.append(Numbers(rows.approximate))
    if table.users and rows.users is not None:
        found.append(Blobs([known.serialize() for known in rows.users]))
    return found


def _listed(names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


@cache
def _existing(table: Table) -> sql.Composed:
    """Return the query for what cannot be added by PostgreSQL, by the place of its row in the given keys.

    The span tells PostgreSQL which partitions it need not look at, however it joins.
    """
    query = """
    select it.place, t.latency {users} from unnest({given}) with ordinality as it ({keys}, place)
    join {table} t using ({keys}) where t.env_id = %s and t.{at} >= %s and t.{at} <= %s
    """
    return sql.SQL(query).format(
        users=sql.SQL(", t.users" if table.users else ""),
        given=sql.SQL(", ").join([sql.Placeholder()] * len(table.keys)),
        keys=_listed(table.keys),
        table=sql.Identifier(table.name),
        at=sql.Identifier(table.keys[0]),
    )


@cache
def _insert(table: Table, *, adding: bool) -> sql.Composed:
    values: dict[str, LiteralString] = {"status": "it.status::smallint", "approximate": "it.approximate <> 0"}
    query = "insert into {table} (env_id, {columns}) select %s, {values} from unnest({given}) as it ({columns})"
    made = sql.SQL(query).format(
        table=sql.Identifier(table.name),
        columns=_listed(table.columns),
        values=sql.SQL(", ").join(
            sql.SQL(values[name]) if name in values else sql.Identifier("it", name) for name in table.columns
        ),
        given=sql.SQL(", ").join([sql.Placeholder()] * len(table.columns)),
    )
    return made + _on_conflict(table) if adding else made


_ADDED: LiteralString = "{column} = {table}.{column} + excluded.{column}"


def _on_conflict(table: Table) -> sql.Composed:
    rules: dict[str, LiteralString] = {
        "longest": "{column} = greatest({table}.{column}, excluded.{column})",
        "latency": "{column} = excluded.{column}",
        "approximate": "{column} = {table}.{column} or excluded.{column}",
        "users": "{column} = excluded.{column}",
    }
    changes = [
        sql.SQL(rules.get(name, _ADDED)).format(column=sql.Identifier(name), table=sql.Identifier(table.name))
        for name in table.columns[len(table.keys) :]
    ]
    conflict = " on conflict (env_id, {keys}) do update set {changes}"
    return sql.SQL(conflict).format(keys=_listed(table.keys), changes=sql.SQL(", ").join(changes))
