"""How the tables of the tiers are written."""

import numpy as np

from trackside.runtime import Runtime
from trackside_modules.usage.storage import tables
from trackside_modules.usage.storage.counts import Counts, Rows, by_user, unpacked
from trackside_modules.usage.storage.histogram import pack

AT = 1_795_348_800
"""2026-11-22 12:00 UTC, in seconds since 1970."""
PREPARED = "select coalesce(sum(generic_plans + custom_plans), 0) from pg_prepared_statements where statement like %s"


def one_call_of(users: int) -> Rows:
    numbers = np.arange(1, users + 1, dtype=np.int64)
    same = np.ones(users, dtype=np.int64)
    latency = unpacked([pack({0: 1})] * users)
    return by_user(Counts(same * AT, same, numbers, same * 200, same, same, same, same * 0, latency))


def test_many_rows_are_never_sought_by_a_plan_made_for_few(runtime: Runtime) -> None:
    """Such a plan took over 30 s for 20,000 users of an environment that had just begun to send."""
    few, many = one_call_of(3), one_call_of(3000)
    with runtime.database.pool.connection() as connection, connection.transaction():
        for _ in range(12):  # psycopg prepares at the sixth time, PostgreSQL keeps a plan from the eleventh on
            tables.add(connection, 1, tables.MINUTE, few)
        tables.add(connection, 2, tables.MINUTE, many)
        tables.add(connection, 2, tables.MINUTE, many)
        found = connection.execute("select count(*), sum(calls) from usage_minute where env_id = 2").fetchone()
        assert found == (3000, 6000)
        assert connection.execute(PREPARED, ("%with ordinality%",)).fetchone() == (0,)
