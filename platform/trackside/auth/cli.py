"""`trackside member` and `trackside key`, for scripts and for whoever is locked out."""

from datetime import timedelta
from typing import Any

import click
from sqlalchemy import select

from trackside.auth import keys, links, people
from trackside.auth.audit import COMMAND_LINE
from trackside.auth.models import ApiKey, Member
from trackside.auth.principal import KINDS
from trackside.cli import as_json, runtime, say
from trackside.module import ROLES
from trackside.workspace import Environment, environment_by_slug


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


@click.group()
def key() -> None:
    """Manage the API keys."""


@key.command("create")
@click.option("--env", "slug", required=True, help="Environment it belongs to, e.g. production.")
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--name", required=True, help="What will use it.")
@click.option("--scope", "scopes", multiple=True, help="What an admin key may do; may be repeated.")
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Days until it ends; never, unless given.")
@click.option("--apitally", is_flag=True, help="In the form that Apitally's SDKs take as their write token.")
@as_json
def create_key(  # noqa: PLR0917 - one argument an option
    slug: str,
    kind: str,
    name: str,
    scopes: tuple[str, ...],
    expires_days: int | None,
    apitally: bool,
    as_json: bool,
) -> None:
    """Make a key and print it: this once."""
    now = runtime().clock.now()
    known = [scope for module in runtime().registry.modules for scope in module.scopes]
    ends = now + timedelta(days=expires_days) if expires_days else None
    with runtime().database.session() as session:
        env = environment_by_slug(session, slug)
        made, text = keys.create_key(
            session,
            COMMAND_LINE,
            now,
            env,
            kind=kind,
            name=name,
            scopes=scopes,
            known_scopes=known,
            expires_at=ends,
            apitally=apitally,
        )
    say(as_json, {"key": text, "id": made.public_id, "env": slug, "kind": kind, "name": made.name}, text)


@key.command("list")
@click.option("--env", "slug", help="Only of this environment.")
@click.option("--all", "ended", is_flag=True, help="Also those that do not work any more.")
@as_json
def list_keys(slug: str | None, ended: bool, as_json: bool) -> None:
    """Print the keys, without their secrets."""
    now, rows = runtime().clock.now(), []
    with runtime().database.session() as session:
        wanted = select(Environment).order_by(Environment.position)
        chosen = [environment_by_slug(session, slug)] if slug else session.scalars(wanted).all()
        for env in chosen:
            rows += [_row(env, each) for each in keys.keys_of(session, env.id, now, ended=ended)]
    say(as_json, rows, *(f"{row['begins']}  {row['name']}{'  revoked' if row['revoked_at'] else ''}" for row in rows))


@key.command("rotate")
@click.argument("key_id")
@click.option("--overlap-hours", type=click.IntRange(0, 720), default=24, show_default=True, help="Both work so long.")
@as_json
def rotate_key(key_id: str, overlap_hours: int, as_json: bool) -> None:
    """Print a key that replaces KEY_ID (its id, or its beginning); the old one goes on working for a while."""
    with runtime().database.session() as session:
        old = keys.key_by_public_id(session, key_id)
        env = session.get_one(Environment, old.env_id)
        overlap = timedelta(hours=overlap_hours)
        fresh, text = keys.rotate(session, COMMAND_LINE, runtime().clock.now(), env, old, overlap=overlap)
    data = {"key": text, "id": fresh.public_id, "replaces": old.public_id, "old_works_until": old.expires_at}
    say(as_json, data, text)


@key.command("revoke")
@click.argument("key_id")
@as_json
def revoke_key(key_id: str, as_json: bool) -> None:
    """End KEY_ID (its id, or its beginning); it is refused everywhere within 10 seconds."""
    with runtime().database.session() as session:
        old = keys.key_by_public_id(session, key_id)
        keys.revoke(session, COMMAND_LINE, runtime().clock.now(), old)
    say(as_json, {"id": old.public_id, "revoked_at": old.revoked_at}, f"{old.name} is revoked.")


def _row(env: Environment, each: ApiKey) -> dict[str, Any]:
    return {
        "id": each.public_id,
        "begins": keys.shown(env, each),
        "env": env.slug,
        "kind": each.kind,
        "name": each.name,
        "scopes": each.scopes,
        "created_at": each.created_at,
        "expires_at": each.expires_at,
        "revoked_at": each.revoked_at,
        "last_used_at": each.last_used_at,
    }
