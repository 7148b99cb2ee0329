"""`trackside support export` and `import`: the log as files, out and in."""

import sys
from dataclasses import replace

import click

from trackside.cli import runtime
from trackside.errors import InputError
from trackside_modules.support.queries import chips, exporting


@click.command("export")
@click.argument("query", nargs=-1)
@click.option("--format", "form", type=click.Choice(exporting.FORMATS), default="csv", show_default=True)
@click.option("--events", is_flag=True, help="A row for each event, in place of one for each interaction.")
def export(query: tuple[str, ...], form: str, events: bool) -> None:
    """Write the interactions that QUERY finds (all, without one) to standard output."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        asked = chips.ask(session, " ".join(query), now=now)
        if asked.problems:
            raise InputError(" ".join(asked.problems), {"query": " ".join(asked.problems)})
        found = replace(asked.filter, merged=True)
        for piece in exporting.export(session, found, now=now, form=form, by_event=events):
            sys.stdout.write(piece)
