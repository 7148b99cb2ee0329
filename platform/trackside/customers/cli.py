"""`trackside customers`: accounts and users from the shell, for scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.customers import erase as erasing
from trackside.customers import importing, queries, service, sheets
from trackside.customers import merge as merging
from trackside.customers.exporting import FORMATS, as_dict
from trackside.customers.kinds import KINDS, Customer, Kind
from trackside.customers.models import SOURCES
from trackside.customers.queries import Filter
from trackside.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])


def _kind(command: Command) -> Command:
    """Add the option that chooses between users and accounts."""
    choose = click.option("--kind", type=click.Choice(sorted(KINDS)), default="user", show_default=True)
    return choose(command)


@click.group()
def customers() -> None:
    """See and change the accounts and users of your API."""


@customers.command("list")
@_kind
@click.option("--search", default="", help="Part of an id, name or email.")
@click.option("--source", type=click.Choice(SOURCES), help="How they came to be known.")
@click.option("--sort", default="-seen", show_default=True, help="seen, first, created, name or id; - goes down.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@as_json
def list_(kind: str, search: str, source: str | None, sort: str, *, limit: int, as_json: bool) -> None:
    """List users, or accounts, those seen last first."""
    with runtime().database.session() as session:
        wanted = Filter(q=search, source=source or "", sort=sort)
        rows = queries.listed(session, _chosen(kind), wanted, limit).rows
        say(as_json, [as_dict(row) for row in rows], *map(_line, rows))


@customers.command()
@_kind
@click.argument("external_id")
@as_json
def show(kind: str, external_id: str, as_json: bool) -> None:
    """Show one user or account; a merged id shows what it was merged into."""
    with runtime().database.session() as session:
        values = as_dict(service.by_external_id(session, _chosen(kind), external_id))
    say(as_json, values, *(f"{name:<12}  {'' if value is None else value}" for name, value in values.items()))


@customers.command("import")
@_kind
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--column", "columns", multiple=True, metavar="COLUMN=FIELD", help="What a column becomes, if not by name."
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@as_json
def import_(kind: str, file: Path, columns: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Import a CSV file. Rows with a mistake are left out and told; the exit code is 1 then."""
    if file.stat().st_size > sheets.MAX_BYTES:
        raise InputError(f"{file} is larger than {sheets.MAX_BYTES >> 20} MiB: split it and import the parts.")
    sheet = sheets.parsed(sheets.decoded(file.read_bytes())[0])
    chosen = _chosen(kind)
    mapping = _mapping(chosen, sheet, columns)
    now = runtime().clock.now()
    with runtime().database.session() as session:
        outcome = importing.run(session, chosen, sheet, mapping, COMMAND_LINE, now=now, dry=dry_run)
    words = "would be " if dry_run else ""
    say(
        as_json,
        outcome,
        f"{outcome.created} {words}created, {outcome.updated} {words}updated, {outcome.unchanged} unchanged,"
        f" {len(outcome.errors)} left out.",
    )
    for error in () if as_json else outcome.errors:
        click.echo(f"line {error.line}: {error.problem}", err=True)
    if outcome.errors:
        raise SystemExit(1)


@customers.command()
@_kind
@click.option("--format", "suffix", type=click.Choice(sorted(FORMATS)), default="csv", show_default=True)
@click.option("--search", default="", help="Part of an id, name or email.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def export(kind: str, suffix: str, search: str, as_json: bool) -> None:
    """Write users, or accounts, to standard output; the CSV can be imported again."""
    with runtime().database.session() as session:
        for piece in FORMATS["json" if as_json else suffix](session, _chosen(kind), Filter(q=search)):
            click.echo(piece, nl=False)


@customers.command()
@_kind
@click.argument("external_id")
@click.argument("into")
@as_json
def merge(kind: str, external_id: str, into: str, as_json: bool) -> None:
    """Merge EXTERNAL_ID into INTO, which stays. This cannot be undone."""
    chosen = _chosen(kind)
    with runtime().database.session() as session:
        row = service.by_external_id(session, chosen, external_id)
        target = service.by_external_id(session, chosen, into)
        merging.merge(session, row, target, COMMAND_LINE, now=runtime().clock.now())
        values = as_dict(target)
    say(as_json, values, f"{external_id} was merged into {into}.")


@customers.command()
@_kind
@click.argument("external_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def erase(kind: str, external_id: str, yes: bool, as_json: bool) -> None:
    """Erase a user, or an account with all its users. This cannot be undone."""
    if not yes:
        click.confirm(f"Erase the {kind} {external_id} for ever?", abort=True, err=True)
    with runtime().database.session() as session:
        row = service.by_external_id(session, _chosen(kind), external_id)
        users = erasing.erase(session, row, COMMAND_LINE, now=runtime().clock.now())
        number = row.id
    say(as_json, {"id": number, "users": users}, f"The {kind} was erased; {users} users in all.")


def _line(row: Customer) -> str:
    seen = f"{row.last_seen:%Y-%m-%d %H:%M}" if row.last_seen else "never"
    return f"{seen:<16}  {row.external_id}  {row.name}"


def _chosen(kind: str) -> Kind[Any]:
    return KINDS[kind]


def _mapping(kind: Kind[Any], sheet: sheets.Sheet, given: tuple[str, ...]) -> list[str]:
    """Return what each column becomes: as told, else by its name."""
    told = {name: what for name, _, what in (each.partition("=") for each in given)}
    unknown = sorted(set(told) - set(sheet.columns))
    if unknown:
        raise InputError(f"There is no column {', '.join(unknown)}; there are {', '.join(sheet.columns)}.")
    guessed = importing.guess(kind, sheet.columns)
    return [told.get(column, guess) for column, guess in zip(sheet.columns, guessed, strict=True)]
