"""The support log as files, as they are made: a row for each interaction or for each event."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy import text

from trackside.api import Call
from trackside.api.types import Input, Streamed
from trackside_modules.support.api import READ, api
from trackside_modules.support.queries import chips, exporting
from trackside_modules.support.queries.filters import Filter

_SNAPSHOT = text("set transaction isolation level repeatable read, read only")
File = Literal["interactions.csv", "interactions.json", "events.csv", "events.json"]
_TYPES = {"csv": "text/csv", "json": "application/json"}
_EXAMPLE = {
    "text/csv": "number,subject,status\r\n123,401 after key rotation,open\r\n",
    "application/json": [{"number": 123, "subject": "401 after key rotation", "status": "open"}],
}


class Export(Input):
    """Which interactions."""

    q: Annotated[
        str, Meta(max_length=500, description="As in the list: `status:open topic:auth since:30d`; empty: all")
    ] = ""


@api.get("/support/export/{file}", scope=READ, example=_EXAMPLE)
def export(call: Call, file: File, query: Export) -> Streamed:
    """Take the support log away, as it is at one moment, those merged away too; cells of CSV are no formulas."""
    now = call.runtime.clock.now()
    asked = replace(chips.ask(call.session, query.q, now=now).must("q"), merged=True)
    what, _, form = file.partition(".")
    call.headers["Content-Disposition"] = f'attachment; filename="trackside-support-{file}"'
    call.headers["Cache-Control"] = "no-store"
    return Streamed(_pieces(call, asked, form, by_event=what == "events"), _TYPES[form])


def _pieces(call: Call, asked: Filter, form: str, *, by_event: bool) -> Iterator[str]:
    """Yield the file by a session of its own, which sees nothing of what happens meanwhile."""
    with call.runtime.database.session() as session:
        session.execute(_SNAPSHOT)
        now = call.runtime.clock.now()
        yield from exporting.export(session, asked, now=now, form=form, by_event=by_event)
