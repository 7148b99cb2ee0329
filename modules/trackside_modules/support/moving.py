"""`trackside support export` and `import`: the log as files, out and in."""

import sys
from dataclasses import asdict, replace
from typing import BinaryIO

import click

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.customers import sheets
from trackside_modules.support.importing import sheet, zendesk
from trackside_modules.support.queries import chips, exporting
from trackside_modules.support.service import imports


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
@click.option("--dry-run", is_flag=True, help="Tell what would happen, and change nothing.")
@as_json
def import_(file: BinaryIO, *, form: str, mapping: tuple[str, ...], source: str, dry_run: bool, as_json: bool) -> None:
    """Bring in the interactions of FILE: CSV, or Zendesk's JSON export. Done again it changes nothing.

    Ends with 1 where rows were left out, each told with its line; the others are in.
    """
    content, encoding = sheets.decoded(file.read())
    here, quiet = runtime(), as_json or not sys.stderr.isatty()
    if form == "zendesk":
        found, count = list(zendesk.records(content)), 0
    else:
        rows = sheets.parsed(content)
        found, count = list(sheet.records(rows, sheet.mapping_of(rows.columns, _asked(mapping)))), len(rows.rows)
    with click.progressbar(length=count or len(found), label="Interactions", file=sys.stderr, hidden=quiet) as bar:
        done = imports.run(
            here.database.session,
            found,
            source=source or form,
            who=COMMAND_LINE,
            now=here.clock.now(),
            dry=dry_run,
            tell=lambda so_far: bar.update(so_far.total - bar.pos),
        )
    told = [f"Line {each.line}: {each.problem}" for each in sorted(done.problems, key=lambda each: each.line)]
    if done.broken > len(told):
        told.append(f"... and {done.broken - len(told):,} more.")
    does = "would be brought in" if dry_run else "were brought in"
    rest = f"{done.known:,} were here already, {done.broken:,} left out ({encoding})"
    say(
        as_json,
        {**asdict(done), "dry_run": dry_run, "encoding": encoding},
        *told,
        f"{done.made:,} interactions {does}, {rest}.",
    )
    if done.broken:
        sys.exit(1)


def _asked(mapping: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.rpartition("=") for each in mapping]
    if any(not column for column, _, _ in pairs):
        raise click.UsageError("Write --map COLUMN=FIELD.")
    return {column: field.strip() for column, _, field in pairs}
