"""Files that members bring in by a page: kept, looked at, tried, brought in by a task, forgotten.

The bytes are below the data directory, read by nobody but the one who runs Trackside. A file is removed as soon
as it was brought in; one that waits, or a CSV with rows to be mended, after a week. Once a customer is erased, who may
be in there, all that were uploaded before go at once, and one that is being read when it was read (see `forget`); so
do the words of why rows of them were left out.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from trackside.auth.audit import Actor
from trackside.csv_lines import line
from trackside.customers import sheets
from trackside.customers.models import Tombstone
from trackside.errors import Conflict, InputError, NotFound, TooLarge
from trackside.jobs.models import DISCARDED, Task
from trackside.jobs.models import FAILED as FAILED_TASK
from trackside.jobs.tasks import enqueue
from trackside.text import clean_line, is_hidden
from trackside_modules.support.importing import dates, reading, sheet
from trackside_modules.support.importing.dates import Dates
from trackside_modules.support.importing.records import Records
from trackside_modules.support.models import Import, LeftOut
from trackside_modules.support.service import imports, rows, upload_files
from trackside_modules.support.service.imports import Outcome, Seen, Sessions

MOST_BYTES = 256 << 20
TASK = "support.import"
KEPT = timedelta(days=7)
SHOWN_FOR = timedelta(days=90)
SAMPLE = 20
WIPED = "(removed)"
NEW, TRIED, RUNNING, DONE, FAILED = "new", "tried", "running", "done", "failed"
ORDERS = {"": "as the file tells", dates.DAY: "day first: 31/12/2026", dates.MONTH: "month first: 12/31/2026"}
EXTRA = ("trackside_line", "trackside_problem")
"""Columns beside a file's own in what was left out of it; bringing it in again passes them over."""


def keep(session: Session, folder: Path, file: BinaryIO, name: str, *, who: Actor, now: datetime) -> Import:
    """Keep a file that was uploaded, with what it is and what its columns probably are.

    Raises InputError for what is neither CSV nor Zendesk's JSON, TooLarge for too many bytes, Unavailable where there
    is no room for it.
    """
    size = file.seek(0, os.SEEK_END)
    if size > MOST_BYTES:
        raise TooLarge(f"A file may have {MOST_BYTES >> 20} MiB: split it, or use trackside support import.")
    if not size:
        raise InputError("This file is empty.")
    kind = reading.look(file)
    before = _before(session, kind)
    fields = before.fields if before else sheet.guess(kind.columns)
    row = Import(
        member_id=who.member_id,
        who=who.name,
        name="".join(each for each in name if not is_hidden(each))[:100] or "file",
        bytes=size,
        form=kind.form,
        encoding=kind.encoding,
        delimiter=kind.delimiter,
        columns=list(kind.columns),
        fields=fields,
        dates=_order(file, kind, fields, before),
        zone=before.zone if before else "UTC",
        source=before.source if before else kind.form,
        created_at=now,
    )
    session.add(row)
    session.flush()
    upload_files.write(folder, row.id, file)
    return row


def get(session: Session, import_id: int) -> Import:
    """Return an import; raises NotFound."""
    found = session.get(Import, import_id) if 0 < import_id < 1 << 63 else None
    if found is None:
        raise NotFound("There is no such import: they are shown for 90 days.")
    return found


def latest(session: Session, most: int = 20) -> Sequence[Import]:
    """Return the last imports, the newest first."""
    return session.scalars(select(Import).order_by(Import.id.desc()).limit(most)).all()


def remembered(session: Session, row: Import) -> Import | None:
    """Return the import whose columns and source this one was given."""
    return _before(session, reading.Kind(row.form, columns=tuple(row.columns)), row.id)


def mapping(columns: Sequence[str], fields: Sequence[str]) -> dict[str, int]:
    """Return where each field is, by what each column is; raises InputError where that cannot be."""
    if len(fields) != len(columns) or not set(fields) <= {"", *sheet.FIELDS}:
        raise InputError("The choice of columns does not fit this file: upload it again.")
    twice = next((each for each in fields if each and fields.count(each) > 1), None)
    if twice:
        raise InputError(f"Two columns are chosen as {twice}: choose one.")
    if missing := sheet.lacking(fields):
        raise InputError(f"Choose which column is {' and which is '.join(missing)}.")
    return {field: place for place, field in enumerate(fields) if field}


def choose(row: Import, *, fields: Sequence[str], source: str, order: str, zone: str) -> None:
    """Take what a member says of a file; raises InputError for what there is not."""
    if not set(fields) <= {"", *sheet.FIELDS}:
        raise InputError("There is no such field: choose of the list.")
    if order not in ORDERS:
        raise InputError("Dates begin with the day or with the month: choose of the list.")
    _zone(zone)
    row.fields, row.source, row.dates, row.zone = list(fields), source[:200], order, zone


def preview(session: Session, folder: Path, row: Import, *, who: Actor, now: datetime) -> list[Seen]:
    """Return what would become of the first records; the caller rolls back. Raises InputError for wrong columns."""
    with upload_files.opened(folder, row.id) as file:
        found = _records(file, row)
        first = [record for record, _ in zip(found, range(SAMPLE), strict=False)]
    return imports.preview(session, first, source=clean_line(row.source, "source", longest=50), who=who, now=now)


def begin(session: Session, folder: Path, row: Import, *, dry: bool) -> None:
    """Let a task try an import, or do it.

    Raises Conflict while it runs or is done, InputError for wrong columns, or dates that can be read in two ways.
    """
    session.flush()
    session.refresh(row, with_for_update=True)
    if row.state == DONE or row.removed_at or (row.state == RUNNING and not stopped(session, row)):
        raise Conflict("This import runs, or is done: upload the file again to do it once more.")
    with upload_files.opened(folder, row.id) as file:
        _records(file, row)
    clean_line(row.source, "source", longest=50)
    row.state, row.dry, row.started_at, row.finished_at, row.problem = RUNNING, dry, None, None, ""
    row.read_bytes = row.made = row.known = row.broken = 0
    row.task_id = enqueue(session, TASK, {"import_id": row.id})


def work(sessions: Sessions, folder: Path, import_id: int, *, clock: Callable[[], datetime]) -> None:
    """Try an import, or do it, and tell on the way how far it is. One that was stopped goes on.

    Its file is removed then, where it is of no more use.
    """
    with sessions() as session:
        row = get(session, import_id)
        if row.state != RUNNING:
            return
        going_on = row.started_at is not None
        row.started_at = now = row.started_at or clock()
        session.execute(delete(LeftOut).where(LeftOut.import_id == import_id))
        who = Actor(row.who, member_id=row.member_id)
    try:
        with upload_files.opened(folder, row.id) as file:
            found = _records(file, row)
            done = imports.run(
                sessions,
                found,
                source=row.source,
                who=who,
                now=now,
                dry=row.dry,
                going_on=going_on,
                tell=lambda so_far: _tell(sessions, import_id, so_far, read_bytes=min(file.tell(), row.bytes)),
            )
        state = TRIED if row.dry else DONE
        _tell(sessions, import_id, done, state=state, finished_at=clock(), read_bytes=row.bytes)
    except (InputError, NotFound) as error:
        _tell(sessions, import_id, None, state=FAILED, finished_at=clock(), problem=error.message)
    # in a transaction of its own: whoever is erased meanwhile sees that it runs no more, or is seen here
    with sessions() as session:
        _let_go(session, folder, get(session, import_id), _last_erasure(session), clock())


def stopped(session: Session, row: Import) -> str:
    """Return why the task of an import that should run was given up; empty while it was not."""
    task = session.get(Task, row.task_id) if row.state == RUNNING and row.task_id else None
    return (task.error or "It was discarded.") if task is not None and task.state in (FAILED_TASK, DISCARDED) else ""


def left_out(session: Session, import_id: int, *, after: int, most: int) -> Sequence[LeftOut]:
    """Return the rows that were left out, beyond the line `after`."""
    query = select(LeftOut).where(LeftOut.import_id == import_id, LeftOut.line > after)
    return session.scalars(query.order_by(LeftOut.line).limit(most)).all()


def mending(session: Session, folder: Path, row: Import) -> Iterator[str]:
    """Yield the lines of a CSV of what was left out, with why: to be mended, and brought in again."""
    query = select(LeftOut.line, LeftOut.problem).where(LeftOut.import_id == row.id).order_by(LeftOut.line)
    problems: dict[int, str] = dict(session.execute(query).all())
    if row.form != reading.CSV:
        yield line(EXTRA)
        yield from (line([str(number), problem]) for number, problem in problems.items())
        return
    with upload_files.opened(folder, row.id) as file:
        found = sheets.opened(file)
        yield line([*found.columns, *EXTRA])
        for number, cells in found.rows:
            if number in problems:
                given = [""] * len(found.columns) if isinstance(cells, InputError) else cells
                padded = [*given, *[""] * (len(found.columns) - len(given))]
                yield line([*padded, str(number), problems[number]])


def forget(session: Session, folder: Path, *, now: datetime, erased_at: datetime | None = None) -> None:
    """Remove files that are of no use any more, what stopped uploads left behind, and imports of long ago.

    `erased_at`: when an erasure that just ended was known to be over; it counts for what was uploaded while it waited.
    """
    erased_at = erased_at or _last_erasure(session)
    for row in session.scalars(select(Import).where(Import.removed_at.is_(None))).all():
        _let_go(session, folder, row, erased_at, now)
    if erased_at is not None:
        # what of some has no file any more
        before = select(Import.id).where(Import.created_at <= erased_at, Import.removed_at.is_not(None))
        _wipe(session, LeftOut.import_id.in_(before))
    session.execute(delete(Import).where(Import.created_at < now - SHOWN_FOR, Import.removed_at.is_not(None)))
    upload_files.sweep(folder, session.scalars(select(Import.id).where(Import.removed_at.is_(None))).all(), now=now)


def _records(file: BinaryIO, row: Import) -> Records:
    when = Dates(row.dates, _zone(row.zone))
    return reading.records(file, row.form, lambda columns: mapping(columns, row.fields), when=when)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"There is no time zone {name[:60]!r}: choose of the list.") from None


def _order(file: BinaryIO, kind: reading.Kind, fields: Sequence[str], before: Import | None) -> str:
    """Return how a file's dates are written: as it tells, else as those of the last file like it."""
    if kind.form != reading.CSV:
        return ""
    places = {field: place for place, field in enumerate(fields) if field}
    found = dates.order_in(sheets.opened(file), places)
    return found if found != dates.UNCLEAR else before.dates if before else ""


def _last_erasure(session: Session) -> datetime | None:
    return session.scalar(select(func.max(Tombstone.erased_at)))


def _let_go(session: Session, folder: Path, row: Import, erased_at: datetime | None, now: datetime) -> None:
    """Remove a file that is of no use, or that an erased customer may be in; one that is being read stays till then."""
    if row.removed_at is not None or (row.state == RUNNING and not stopped(session, row)):
        return
    erased = erased_at is not None and erased_at >= row.created_at
    to_mend = row.form == reading.CSV and row.broken > 0
    if erased or row.created_at < now - KEPT or (row.state == DONE and not to_mend):
        upload_files.remove(folder, row.id)
        row.removed_at = now
    if erased:
        _wipe(session, LeftOut.import_id == row.id)


def _wipe(session: Session, which: ColumnElement[bool]) -> None:
    """Take the words out of why rows were left out: they may name who was erased."""
    session.execute(update(LeftOut).where(which, LeftOut.problem != WIPED).values(problem=WIPED))


def _before(session: Session, kind: reading.Kind, but: int = 0) -> Import | None:
    """Return the last import that was done of a file with the same columns."""
    query = select(Import).where(Import.form == kind.form, Import.state == DONE, Import.id != but)
    query = query.where(Import.columns == list(kind.columns))
    return session.scalars(query.order_by(Import.id.desc()).limit(1)).first()


def _tell(sessions: Sessions, import_id: int, so_far: Outcome | None, **values: object) -> None:
    facts: Mapping[str, object] = {}
    with sessions() as session:
        if so_far is not None:
            facts = {"made": so_far.made, "known": so_far.known, "broken": so_far.broken}
            told = {each.line: each.problem for each in so_far.take_problems()}
            found = [{"import_id": import_id, "line": at, "problem": told[at]} for at in sorted(told)]
            rows.insert(session, LeftOut, found, replace="import_id, line")
        session.execute(update(Import).where(Import.id == import_id).values(**facts, **values))
