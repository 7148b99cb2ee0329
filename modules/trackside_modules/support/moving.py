"""`trackside support export` and `import`: the log as files, out and in."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from sqlalchemy.orm import Session

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.errors import InputError
from trackside.process import settle
from trackside_modules.support import attachments
from trackside_modules.support.importing import dates, reading, sheet
from trackside_modules.support.importing.beside import Beside
from trackside_modules.support.importing.dates import Dates
from trackside_modules.support.importing.records import Broken, Records
from trackside_modules.support.queries import chips, exporting
from trackside_modules.support.service import imports
from trackside_modules.support.service.imports import Outcome

MOST_TOLD = 100
UNCLEAR = "Dates like 03/04/2026 may begin with the day or with the month: say which, by --dates day or --dates month."


class _Zone(click.ParamType[ZoneInfo]):
    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        try:
            return ZoneInfo(str(value))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"{value!r} is no time zone: write it like Europe/Berlin.")


@click.command("export")
@click.argument("query", nargs=-1)
@click.option("--format", "form", type=click.Choice(exporting.FORMATS), default="csv", show_default=True)
@click.option("--events", is_flag=True, help="A row for each event, in place of one for each interaction.")
def export(query: tuple[str, ...], form: str, events: bool) -> None:
    """Write the interactions that QUERY finds (all, without one) to standard output."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        found = replace(chips.ask(session, " ".join(query), now=now).must("query"), merged=True)
        for piece in exporting.export(session, found, now=now, form=form, by_event=events):
            sys.stdout.write(piece)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--from", "form", type=click.Choice(["csv", "zendesk"]), default="csv", show_default=True)
@click.option(
    "--map", "mapping", multiple=True, metavar="COLUMN=FIELD", help="What a column is; nothing leaves it out."
)
@click.option("--source", default="", metavar="NAME", help="Where it comes from; ids are known by it.")
@click.option(
    "--files",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Where attachments of a Zendesk export were downloaded to: ID/NAME, ID-NAME or NAME. Others are linked.",
)
@click.option(
    "--dates",
    "order",
    type=click.Choice([dates.DAY, dates.MONTH]),
    default=None,
    help="Which comes first in dates like 03/04/2026, where the file does not tell.",
)
@click.option("--zone", type=_Zone(), default="UTC", show_default=True, help="Of times in a CSV that tell none.")
@click.option("--dry-run", is_flag=True, help="Tell what would happen, and change nothing.")
@as_json
def import_(
    file: BinaryIO,
    *,
    form: str,
    mapping: tuple[str, ...],
    source: str,
    folder: Path | None,
    order: str | None,
    zone: ZoneInfo,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring in the interactions of FILE: CSV, or Zendesk's JSON export. Done again it changes nothing.

    Ends with 1 where rows were left out, each told with its line; the others are in.
    """
    file, here = _seekable(file), runtime()
    settle()
    kind = reading.look(file) if form == reading.CSV else reading.Kind(reading.ZENDESK)
    problems: list[Broken] = []
    with click.progressbar(length=_size(file), label="Interactions", file=sys.stderr, hidden=_quiet(as_json)) as bar:

        def tell(so_far: Outcome) -> None:
            problems.extend(so_far.take_problems())
            bar.update(file.tell() - bar.pos)

        beside = Beside(folder, attachments.MOST_FILES, attachments.MOST_BYTES) if folder else None
        found = _records(file, form, mapping, beside, Dates(order or "", zone))
        done = imports.run(
            here.database.session,
            found,
            source=source or form,
            who=COMMAND_LINE,
            now=here.clock.now(),
            dry=dry_run,
            tell=tell,
            keep=_keep,
        )
    told = [f"Line {each.line}: {each.problem}" for each in sorted(problems, key=lambda each: each.line)]
    if len(told) > MOST_TOLD:
        told[MOST_TOLD:] = [f"... and {len(told) - MOST_TOLD:,} more."]
    what = "1 interaction" if done.made == 1 else f"{done.made:,} interactions"
    does = "would be brought in" if dry_run else "was brought in" if done.made == 1 else "were brought in"
    say(
        as_json,
        {
            **{name: getattr(done, name) for name in ("made", "known", "broken")},
            "problems": problems,
            "dry_run": dry_run,
            "encoding": kind.encoding,
        },
        *told,
        f"{what} {does}, {done.known:,} were here already, {done.broken:,} left out ({kind.encoding}).",
    )
    if done.broken:
        sys.exit(1)


def _records(file: BinaryIO, form: str, mapping: tuple[str, ...], beside: Beside | None, when: Dates) -> Records:
    def fields(columns: Sequence[str]) -> Mapping[str, int]:
        return sheet.mapping_of(columns, _asked(mapping))

    try:
        return reading.records(file, form, fields, beside=beside, when=when)
    except InputError as error:
        if error.message != reading.UNCLEAR:
            raise
        raise InputError(UNCLEAR, {"dates": UNCLEAR}) from None


def _keep(session: Session, given: Sequence[tuple[str, bytes]]) -> list[int]:
    here = runtime()
    return attachments.keep(session, attachments.folder_of(here.settings), given, now=here.clock.now())


def _seekable(file: BinaryIO) -> BinaryIO:
    """Return what is read twice: a pipe is kept in a file first."""
    if file.seekable():
        return file
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the command
    shutil.copyfileobj(file, kept)
    return kept


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _quiet(as_json: bool) -> bool:
    return as_json or not sys.stderr.isatty()


def _asked(mapping: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.rpartition("=") for each in mapping]
    if any(not column for column, _, _ in pairs):
        raise click.UsageError("Write --map COLUMN=FIELD.")
    return {column: field.strip() for column, _, field in pairs}
