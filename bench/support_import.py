"""How fast the support log brings in a file of elsewhere: from the file to interactions that are committed and found.

    .venv/bin/python bench/support.py --keep DIR --import 20000

Of so many interactions a CSV is made, and a ticket a line as Zendesk exports them, with as many messages as those of
`bench/support.py`; each is read, understood, written, measured and indexed as the page's job and the shell's command
do it. Beside them stands a limit: PostgreSQL's COPY of the same rows, ready made, into tables with the same indexes.
What was brought in stays in a folder that is kept.
"""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Protocol

import msgspec
from psycopg import sql

from trackside.auth.audit import SYSTEM
from trackside.process import settle
from trackside.runtime import Runtime
from trackside_modules.support.history import Event
from trackside_modules.support.importing import reading, sheet
from trackside_modules.support.service import imports

GOAL = 2_000
"""Interactions a second."""
TABLES = {"support_event": "interaction_id", "support_interaction": "id", "support_metric": "interaction_id"}
TABLES["support_search"] = "interaction_id"
COLUMNS = ("id", "subject", "description", "user", "priority", "status", "created_at", "solved_at", "reply", "note")


class Writes(Protocol):
    """Makes histories."""

    def history(self, place: float) -> list[Event]:
        """Return what happened to an interaction."""
        ...


def timed(runtime: Runtime, writer: Writes, count: int) -> bool:
    """Bring in a file of each form, print how fast that went beside the limit, return whether all reach the goal."""
    histories = [writer.history(at / count) for at in range(count)]
    settle()
    took: dict[str, tuple[float, float, int]] = {}
    for form, file in ((reading.CSV, _csv(histories)), (reading.ZENDESK, _zendesk(histories))):
        before, source = _last(runtime), f"{form} {time.time_ns()}"
        began, spent = time.monotonic(), time.process_time()
        records = reading.records(file, form, lambda columns: sheet.mapping_of(columns, {}))
        told = imports.run(runtime.database.session, records, source=source, who=SYSTEM, now=runtime.clock.now())
        took[form] = time.monotonic() - began, time.process_time() - spent, before
        if told.made != count:
            raise SystemExit(f"{form}: {told.made:,} of {count:,} were brought in: {told.problems[:3]}")
    # after both: what is copied is written to the disk while the next would be measured
    for form, (seconds, spent, before) in took.items():
        limit = count / _copied(runtime, before, before + count)
        print(
            f"{form}: {count:,} interactions brought in, {count / seconds:,.0f} a second (goal {GOAL:,}); of Python"
            f" {spent / count * 1e6:.0f} us each; COPY of the same rows alone {limit:,.0f} a second"
        )
    return all(count / seconds >= GOAL for seconds, _, _ in took.values())


def _csv(histories: Sequence[Sequence[Event]]) -> BinaryIO:
    lines = io.StringIO(newline="")
    rows = csv.writer(lines)
    rows.writerow(COLUMNS)
    for number, events in enumerate(histories):
        said = [each for each in events if each.kind == "message"]
        ours = next((each.data["body"] for each in said if each.data["side"] == "staff"), "")
        note = next((each.data["body"] for each in events if each.kind == "note"), "")
        data, status = events[0].data, next((each.data["to"] for each in events if each.kind == "status"), "")
        ended = events[-1].at.isoformat() if status else ""
        fields = (data["subject"], said[0].data["body"], f"u_{data['user_id']}", data["priority"], status)
        rows.writerow((number, *fields, events[0].at.isoformat(), ended, ours, note))
    return io.BytesIO(lines.getvalue().encode())


def _zendesk(histories: Sequence[Sequence[Event]]) -> BinaryIO:
    return io.BytesIO(b"\n".join(map(msgspec.json.encode, _tickets(histories))))


def _tickets(histories: Sequence[Sequence[Event]]) -> Iterator[dict[str, Any]]:
    for number, events in enumerate(histories):
        data = events[0].data
        person = {"id": data["user_id"], "email": f"person{data['user_id']}@customer{data['user_id'] % 800}.example"}
        yield {
            "id": number,
            "subject": data["subject"],
            "requester": person,
            "priority": data["priority"],
            "status": next((each.data["to"] for each in events if each.kind == "status"), "open"),
            "created_at": events[0].at,
            "updated_at": events[-1].at,
            "tags": data["tags"],
            "comments": [
                {
                    "author_id": person["id"] if each.data.get("side") == "customer" else 900_000,
                    "created_at": each.at,
                    "plain_body": each.data["body"],
                    "public": each.kind == "message",
                }
                for each in events
                if each.kind in ("message", "note")
            ],
        }


def _last(runtime: Runtime) -> int:
    with runtime.database.engine.connect() as connection:
        return int(connection.exec_driver_sql("select coalesce(max(id), 0) from support_interaction").scalar_one())


def _copied(runtime: Runtime, beyond: int, last: int) -> float:
    """Return how many seconds PostgreSQL takes to write the rows of some numbers as they are, its own work alone."""
    took = 0.0
    with runtime.database.pool.connection() as connection:
        for table, key in TABLES.items():
            name, number = sql.Identifier(table), sql.Identifier(key)
            query = sql.SQL("copy (select * from {} where {} > {} and {} <= {}) to stdout")
            with connection.cursor().copy(query.format(name, number, beyond, number, last)) as out:
                rows = list(map(bytes, out))
            like = sql.SQL("create table bench_copy (like {} including all excluding identity)")
            connection.execute(like.format(name))
            began = time.monotonic()
            with connection.cursor().copy("copy bench_copy from stdin") as target:
                for row in rows:
                    target.write(row)
            took += time.monotonic() - began
            connection.execute("drop table bench_copy")
    return took
