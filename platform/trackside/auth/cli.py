"""`trackside member`: staff from the shell, for scripts and for whoever is locked out."""

from typing import Any

import click
import msgspec
from sqlalchemy import select

from trackside.auth import links, people
from trackside.auth.audit import COMMAND_LINE
from trackside.auth.models import Member
from trackside.cli import runtime
from trackside.module import ROLES

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(as_json: bool, data: Any, *lines: str) -> None:
    """Print `data` as JSON, or `lines` for people."""
    for line in (msgspec.json.encode(data).decode(),) if as_json else lines:
        click.echo(line)


@click.group()
def member() -> None:
    """Manage the staff who sign in."""


@member.command("create")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--name", default="", help="How pages call them.")
@as_json
def create_member(email: str, role: str, name: str, as_json: bool) -> None:
    """Make a member, and print the link with which they set a password and sign in, once, within 24 hours."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        made = people.create_member(session, COMMAND_LINE, now, email, role, name=name)
        link = links.url_of(runtime(), links.issue_sign_in(session, COMMAND_LINE, now, made))
    say(as_json, {"id": made.id, "email": made.email, "role": made.role, "link": link}, link)


@member.command("list")
@as_json
def list_members(as_json: bool) -> None:
    """Print every member."""
    with runtime().database.session() as session:
        found = list(session.scalars(select(Member).order_by(Member.email)))
    rows = [
        {"id": each.id, "email": each.email, "name": each.name, "role": each.role, "disabled": bool(each.disabled_at)}
        for each in found
    ]
    say(as_json, rows, *(f"{row['email']}  {row['role']}{'  disabled' if row['disabled'] else ''}" for row in rows))


@member.command("role")
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
@as_json
def change_role(email: str, role: str, as_json: bool) -> None:
    """Give a member another role; they have to sign in again."""
    with runtime().database.session() as session:
        found = people.member_by_email(session, email)
        people.set_role(session, COMMAND_LINE, runtime().clock.now(), found, role)
    say(as_json, {"email": found.email, "role": role}, f"{found.email} is {role} now.")


@member.command("disable")
@click.argument("email")
@as_json
def disable_member(email: str, as_json: bool) -> None:
    """Shut a member out at once; their sessions end."""
    with runtime().database.session() as session:
        found = people.member_by_email(session, email)
        people.disable(session, COMMAND_LINE, runtime().clock.now(), found)
    say(as_json, {"email": found.email, "disabled": True}, f"{found.email} is disabled and signed out.")


@member.command("enable")
@click.argument("email")
@as_json
def enable_member(email: str, as_json: bool) -> None:
    """Let a disabled member in again."""
    with runtime().database.session() as session:
        found = people.member_by_email(session, email)
        people.enable(session, COMMAND_LINE, runtime().clock.now(), found)
    say(as_json, {"email": found.email, "disabled": False}, f"{found.email} can sign in again.")


@member.command("reset")
@click.argument("email")
@as_json
def reset_member(email: str, as_json: bool) -> None:
    """Print a link with which a member sets a new password, once, within 30 minutes."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        found = people.member_by_email(session, email)
        link = links.url_of(runtime(), links.issue_reset(session, COMMAND_LINE, now, found))
    say(as_json, {"email": found.email, "link": link}, link)
