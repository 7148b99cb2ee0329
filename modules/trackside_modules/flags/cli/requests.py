"""`trackside flags requests`: change requests from the shell, decided for a member who is named."""

from typing import Any

import click
from sqlalchemy.orm import Session

from trackside.cli import as_json, runtime, say
from trackside.workspace import environments
from trackside_modules.flags import shape
from trackside_modules.flags.cli.group import flags
from trackside_modules.flags.cli.lines import step_lines
from trackside_modules.flags.models import Flag, Request
from trackside_modules.flags.queries import requests as queries
from trackside_modules.flags.service import requests as service
from trackside_modules.flags.service.deciding import member_at_the_shell

STATUSES = ("open", "approved", "refused", "withdrawn", "applied", "stale")
_member = click.option("--member", "email", required=True, help="Who decides: a member's address, not who proposed it.")


@flags.group("requests")
def group() -> None:
    """List changes that wait for a second member, approve, refuse and apply them."""


@group.command("list")
@click.option("--status", type=click.Choice(STATUSES), default="open", show_default=True)
@as_json
def list_(status: str, as_json: bool) -> None:
    """List change requests, the newest first."""
    with runtime().database.session() as session:
        rows = [it.request for it in queries.listed(session, status=[status], limit=200)]
        found = [_told(session, row) for row in rows]
    say(as_json, found, *(_line(it) for it in found))


@group.command()
@click.argument("number", type=int)
@as_json
def show(number: int, as_json: bool) -> None:
    """Show a change request, and what it would do."""
    with runtime().database.session() as session:
        found = _told(session, service.get(session, None, number))
    say(as_json, found, _line(found), *step_lines(found["diff"]))


@group.command()
@click.argument("number", type=int)
@_member
@click.option("--note", default="", help="What the second member says.")
@click.option("--apply", "applies", is_flag=True, help="Make the change too.")
@as_json
def approve(number: int, email: str, note: str, applies: bool, as_json: bool) -> None:
    """Agree to a change for a member, and `--apply` it."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        who = member_at_the_shell(session, runtime().registry, email)
        row = service.approve(session, number, who=who, now=now, note=note)
        if applies:
            row = service.apply(session, number, who=who, now=now)
        found = _told(session, row)
    say(as_json, found, _line(found))


@group.command()
@click.argument("number", type=int)
@_member
@click.option("--note", required=True, help="Why not: who proposed it will want to know.")
@as_json
def refuse(number: int, email: str, note: str, as_json: bool) -> None:
    """Turn a change down for a member."""
    with runtime().database.session() as session:
        who = member_at_the_shell(session, runtime().registry, email)
        found = _told(session, service.refuse(session, number, who=who, now=runtime().clock.now(), note=note))
    say(as_json, found, _line(found))


@group.command()
@click.argument("number", type=int)
@click.option("--member", "email", required=True, help="Who applies it: a member's address.")
@as_json
def apply(number: int, email: str, as_json: bool) -> None:
    """Make a change that was approved."""
    with runtime().database.session() as session:
        who = member_at_the_shell(session, runtime().registry, email)
        found = _told(session, service.apply(session, number, who=who, now=runtime().clock.now()))
    say(as_json, found, _line(found))


def _told(session: Session, row: Request) -> dict[str, Any]:
    slugs = {each.id: each.slug for each in environments(session)}
    return {
        "id": row.id,
        "key": session.get_one(Flag, row.flag_id).key,
        "environment": slugs[row.env_id] if row.env_id is not None else None,
        "status": row.status,
        "who": row.who,
        "reason": row.reason,
        "decided_by": row.decided_by,
        "note": row.note,
        "diff": list(shape.diff(row.before, row.after)),
    }


def _line(it: dict[str, Any]) -> str:
    decided = f", by {it['decided_by']}" if it["decided_by"] else ""
    place = it["environment"] or "every environment"
    return f"{it['id']}: {it['key']} in {place}: {it['status']}{decided}: {it['reason']} ({it['who']})"
