"""`trackside support`: log and read interactions from the shell."""

import os
import sys
from collections.abc import Callable
from datetime import UTC
from typing import Any, BinaryIO

import click
import msgspec
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.errors import TooLarge
from trackside_modules.support import moving, service, words
from trackside_modules.support.history import Event
from trackside_modules.support.models import Interaction
from trackside_modules.support.queries import lists, threads
from trackside_modules.support.queries.asked import listing
from trackside_modules.support.queries.lists import Row
from trackside_modules.support.service import mails, rebuilding
from trackside_modules.support.service.reading import read
from trackside_modules.support.service.rebuilding import Progress
from trackside_modules.support.tracker_cli import trackers

SOURCE = "command line"
_WIDE = 72


class _Number(click.ParamType[int]):
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = words.number_of(str(value))
        return found if found else self.fail(f"{value!r} is no number of an interaction: write SUP-123 or 123.")


NUMBER = _Number()


@click.group()
def support() -> None:
    """Log interactions with customers, read and answer them."""


@support.command()
@click.argument("line")
@as_json
def log(line: str, as_json: bool) -> None:
    """Log an interaction from one LINE.

    For example: "dev@customer.example 401 after key rotation #auth !high bug flag:new-auth -- What they wrote."
    """
    now = runtime().clock.now()
    with runtime().database.session() as session:
        draft = read(session, line, now=now, zone=UTC, source=SOURCE).must("line")
        made = service.log(session, draft, who=COMMAND_LINE, now=now, context_of=service.freezer(runtime()))
        (row,) = lists.rows(session, [made.interaction.id])
    say(as_json, _told(row) | {"said": made.said}, f"{made.interaction.ref} was logged.", *made.said)


@support.command()
@click.argument("mail", type=click.File("rb"), default="-")
def receive(mail: BinaryIO) -> None:
    """Take in a MAIL (RFC 822) from standard input or a file, as a mail server's pipe does."""
    raw = mail.read(mails.MOST_BYTES + 1)
    if len(raw) > mails.MOST_BYTES:
        raise TooLarge(f"A mail may have {mails.MOST_BYTES >> 20} MB at most.")
    try:
        with runtime().database.session() as session:
            kept = mails.keep(session, raw, now=runtime().clock.now())
    except OperationalError:
        click.echo("The database is away: try again later.", err=True)
        sys.exit(os.EX_TEMPFAIL)
    click.echo("The mail was kept already." if kept is None else "The mail is kept; a worker takes it in.")


@support.command("list")
@click.argument("query", nargs=-1)
@click.option("--sort", type=click.Choice(list(lists.SORTS)), default=None, help="By itself updated; words: the best.")
@click.option("--limit", type=click.IntRange(1, lists.MOST), default=20, show_default=True)
@as_json
def list_(query: tuple[str, ...], sort: str | None, limit: int, as_json: bool) -> None:
    """List the interactions that QUERY finds: status:open topic:auth user:u_42, and words, also misspelt ones."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        found = listing(session, " ".join(query), now=now, sort=sort or "", limit=limit)
    if found.corrected:
        click.echo(f"No interaction has these words. Shown is what has: {found.corrected}", err=True)
    if found.partly:
        click.echo(
            "Of what has these words only the newest were searched for the phrase; --sort looks at all.", err=True
        )
    rows = found.rows
    lines = [f"{it.interaction.ref:<9} {it.interaction.status:<16} {_short(it)}" for it in rows]
    say(as_json, [_told(each) for each in rows], *(lines or ["Nothing found."]))


@support.command()
@click.argument("number", type=NUMBER)
@as_json
def show(number: int, as_json: bool) -> None:
    """Show an interaction, and everything that happened to it."""
    with runtime().database.session() as session:
        found = threads.thread(session, number)
    it = found.row.interaction
    lines = [f"{it.ref}: {it.subject}", f"{words.STATUSES[it.status]}, {it.kind}, {it.priority}, {_whom(found.row)}"]
    lines += [f"{each.event.at:%Y-%m-%d %H:%M} {each.who}: {_happened(each.event)}" for each in found.entries]
    events = [{"number": it.number, "who": it.who, **msgspec.to_builtins(it.event)} for it in found.entries]
    say(as_json, _told(found.row) | {"events": events, "context": found.context}, *lines)


@support.command()
@click.argument("number", type=NUMBER)
@click.argument("body")
@click.option("--then", type=click.Choice(list(words.STATUSES)), default=None, help="The status afterwards.")
@as_json
def reply(number: int, body: str, then: str | None, as_json: bool) -> None:
    """Write BODY (Markdown) to the customer."""
    _act(number, as_json, lambda session, **how: service.reply(session, number, body, then=then, **how))


@support.command()
@click.argument("number", type=NUMBER)
@click.argument("body")
@as_json
def note(number: int, body: str, as_json: bool) -> None:
    """Add BODY (Markdown) as a note that only members see."""
    _act(number, as_json, lambda session, **how: service.note(session, number, body, **how))


@support.command("set")
@click.argument("number", type=NUMBER)
@click.option("--status", type=click.Choice(list(words.STATUSES)), default=None)
@click.option("--priority", type=click.Choice(list(words.PRIORITIES)), default=None)
@click.option("--kind", type=click.Choice(list(words.KINDS)), default=None)
@click.option("--topic", default=None, help="A path or alias; empty takes it away.")
@click.option("--assignee", default=None, metavar="EMAIL", help="Empty takes it from whoever had it.")
@as_json
def set_(number: int, as_json: bool, **asked: str | None) -> None:
    """Change an interaction's fields."""
    if all(value is None for value in asked.values()):
        raise click.UsageError("Say what to change: --status, --priority, --kind, --topic or --assignee.")

    def change(session: Session, **how: Any) -> Interaction:
        for name, value in asked.items():
            if value is not None:
                _CHANGES[name](session, number, value, how)
        return service.get(session, number)

    _act(number, as_json, change)


@support.command("rebuild")
@as_json
def rebuild(as_json: bool) -> None:
    """Make everything that is made of events anew: states, links, metrics, what is searched.

    It goes on while people work, and changes nothing that is right.
    """
    here = runtime()
    quiet = as_json or not sys.stderr.isatty()
    with click.progressbar(length=1, label="Interactions", file=sys.stderr, hidden=quiet, show_eta=True) as bar:

        def tell(progress: Progress) -> None:
            bar.length = progress.total
            bar.update(progress.done - bar.pos)

        count = rebuilding.rebuild(here.database, tell=tell)
    say(as_json, {"interactions": count}, f"{count:,} interactions were made anew from their events.")


support.add_command(moving.export)
support.add_command(moving.import_)
support.add_command(trackers)

_CHANGES: dict[str, Callable[[Session, int, str, dict[str, Any]], object]] = {
    "status": lambda session, number, value, how: service.set_status(session, number, value, **how),
    "priority": lambda session, number, value, how: service.prioritise(session, number, value, **how),
    "kind": lambda session, number, value, how: service.set_kind(session, number, value, **how),
    "topic": lambda session, number, value, how: service.set_topic(
        session, number, service.topics.pick(session, None, value), **how
    ),
    "assignee": lambda session, number, value, how: service.assign(
        session, number, service.fields.member_called(session, value), **how
    ),
}


def _act(number: int, as_json: bool, act: Callable[..., Interaction]) -> None:
    with runtime().database.session() as session:
        act(session, who=COMMAND_LINE, now=runtime().clock.now())
        (row,) = lists.rows(session, [number])
    say(as_json, _told(row), f"{row.interaction.ref} is {words.STATUSES[row.interaction.status].lower()}.")


def _told(row: Row) -> dict[str, Any]:
    it = row.interaction
    own = {column.key: getattr(it, column.key) for column in Interaction.__table__.columns if column.key != "id"}
    names = {"user": row.user, "account": row.account, "topic": row.topic, "assignee": row.assignee}
    return {"number": it.id, "ref": it.ref, **own, **names}


def _short(row: Row) -> str:
    subject = row.interaction.subject
    return f"{subject if len(subject) <= _WIDE else subject[: _WIDE - 1] + '…'} ({_whom(row)})"


def _whom(row: Row) -> str:
    return ", ".join(filter(None, (row.user, row.account))) or "nobody"


def _happened(event: Event) -> str:
    if event.kind in {"message", "note"}:
        return f"{'' if event.kind == 'message' else 'note: '}{event.data['body']}"
    told = ", ".join(f"{name} {value}" for name, value in event.data.items() if value not in (None, "", []))
    return f"{event.kind} {told}".strip()
