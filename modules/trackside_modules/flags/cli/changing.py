"""`trackside flags create`, `set`, `ramp`, `archive`, `revert`, `promote` and `approval`: changes, one at a time."""

from typing import Any

import click

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.workspace import environment_by_slug
from trackside_modules.flags import service, shape
from trackside_modules.flags.cli.group import (
    flags,
    if_version_is,
    in_environment,
    say_state,
    with_reason,
    without_approval,
)
from trackside_modules.flags.cli.options import edit_of, share_of, span_of, step_of, variant_of
from trackside_modules.flags.models import State
from trackside_modules.flags.service import edits, promoting


@flags.command()
@click.argument("key")
@click.option("--name", default="")
@click.option("--description", default="")
@click.option("--template", type=click.Choice(sorted(service.TEMPLATES)), default=None)
@click.option("--type", "type_", type=click.Choice(shape.TYPES), default=None)
@click.option("--kind", type=click.Choice(shape.KINDS), default=None)
@click.option("--variant", "variants", multiple=True, metavar="NAME=VALUE", help="JSON, or text for a string flag.")
@click.option("--tag", "tags", multiple=True)
@with_reason
@as_json
def create(
    key: str,
    template: str | None,
    type_: str | None,
    variants: tuple[str, ...],
    *,
    as_json: bool,
    reason: str,
    **given: Any,
) -> None:
    """Create a flag: off in every environment, unless its template says otherwise."""
    values = {name: value for name, value in given.items() if value} | ({"type": type_} if type_ else {})
    if variants:
        kind = type_ or (service.TEMPLATES[template].type if template else "boolean")
        values["variants"] = dict(variant_of(each, kind) for each in variants)
    if "tags" in values:
        values["tags"] = list(values["tags"])
    with runtime().database.session() as session:
        now = runtime().clock.now()
        flag = service.create(session, key, who=COMMAND_LINE, now=now, template=template or "", reason=reason, **values)
    say(as_json, {"id": flag.id, "key": flag.key, "salt": flag.salt}, f"{flag.key} was created.")


@flags.command("set")
@click.argument("key")
@in_environment
@click.option("--on/--off", "switched", default=None, help="Switch it on or off.")
@click.option("--rollout", type=click.FloatRange(0, 100), help="Per cent of users taken in; switches it on too.")
@click.option("--split", default="", metavar="NAME=PER CENT,...", help="Weights of the variants.")
@click.option("--rule", default="", help="Id of the rule to roll out; else everyone else.")
@click.option("--by", default="", help="Sticky attribute: targetingKey (the user), account, or another.")
@click.option("--user", default="", help="Give this user --variant, whatever the rules say.")
@click.option("--account", default="", help="Give this account --variant.")
@click.option("--variant", default="", help="With --user or --account; empty takes it back.")
@click.option("--at", default="", metavar="TIME", help="Switch at this time instead of now.")
@click.option("--state", "parts", default="", metavar="JSON", help="Parts of the state, as the export has them.")
@if_version_is
@with_reason
@without_approval
@as_json
def set_(
    key: str, slug: str, *, if_version: int | None, reason: str, approved: bool, as_json: bool, **asked: Any
) -> None:
    """Change how a flag is rolled out in an environment."""
    edit = edit_of(**asked)
    with runtime().database.session() as session:
        env_id, now = environment_by_slug(session, slug).id, runtime().clock.now()
        how: dict[str, Any] = {"who": COMMAND_LINE, "now": now, "reason": reason, "if_version": if_version}
        state = service.change(session, env_id, key, edit, approved=approved, **how)
    say_state(as_json, key, slug, state, now)


@flags.command()
@click.argument("key")
@in_environment
@click.option("--to", type=click.FloatRange(0, 100), default=100.0, show_default=True, help="Per cent at the end.")
@click.option("--steps", type=click.IntRange(1, edits.MOST_STEPS), default=4, show_default=True)
@click.option("--every", default="1d", show_default=True, metavar="TIME", help="Between steps: 30m, 6h, 1d.")
@click.option("--step", "given", multiple=True, metavar="PER CENT@TIME", help="Instead: each step as it shall be.")
@click.option("--rule", default="", help="Id of the rule to ramp; else everyone else.")
@if_version_is
@with_reason
@without_approval
@as_json
def ramp(
    key: str,
    slug: str,
    given: tuple[str, ...],
    *,
    to: float,
    steps: int,
    every: str,
    rule: str,
    as_json: bool,
    if_version: int | None,
    reason: str,
    approved: bool,
) -> None:
    """Let a rollout grow by itself, the first step now; switches the flag on."""
    with runtime().database.session() as session:
        env_id, now = environment_by_slug(session, slug).id, runtime().clock.now()
        how: dict[str, Any] = {"who": COMMAND_LINE, "now": now, "reason": reason, "if_version": if_version}
        even = edits.even_ramp(share_of(to), steps, span_of(every), rule, now=now)
        rising = edits.ramp([step_of(each) for each in given], rule, now=now) if given else even
        edit = edits.both(rising, edits.switch(on=True))
        state = service.change(session, env_id, key, edit, approved=approved, **how)
    say_state(as_json, key, slug, state, now)


@flags.command()
@click.argument("key")
@click.option("--restore", is_flag=True, help="Put it back instead, off everywhere.")
@with_reason
@as_json
def archive(key: str, restore: bool, reason: str, as_json: bool) -> None:
    """Take a flag out of every environment: programs get the default in their code."""
    action = service.restore if restore else service.archive
    with runtime().database.session() as session:
        flag = action(session, key, who=COMMAND_LINE, now=runtime().clock.now(), reason=reason)
    words = "restored, off everywhere" if restore else "archived"
    say(as_json, {"key": key, "archived_at": flag.archived_at}, f"{key} was {words}.")


@flags.command()
@click.argument("key")
@click.argument("version", type=int)
@in_environment
@with_reason
@without_approval
@as_json
def revert(key: str, version: int, slug: str, *, reason: str, approved: bool, as_json: bool) -> None:
    """Make the state in an environment what it was at VERSION."""
    with runtime().database.session() as session:
        env_id, now = environment_by_slug(session, slug).id, runtime().clock.now()
        service.revert(session, env_id, key, version, who=COMMAND_LINE, now=now, reason=reason, approved=approved)
        state = session.get_one(State, (env_id, service.get(session, key).id))
    say_state(as_json, key, slug, state, now)


@flags.command()
@click.argument("key")
@click.option("--from", "source", required=True, help="Environment to take it from.")
@click.option("--to", "target", required=True, help="Environment to change.")
@with_reason
@without_approval
@as_json
def promote(key: str, source: str, target: str, *, reason: str, approved: bool, as_json: bool) -> None:
    """Make a flag in one environment what it is in another."""
    with runtime().database.session() as session:
        now, ids = runtime().clock.now(), [environment_by_slug(session, slug).id for slug in (source, target)]
        how: dict[str, Any] = {"who": COMMAND_LINE, "now": now, "reason": reason, "approved": approved}
        state = promoting.promote(session, key, source=ids[0], target=ids[1], **how)
    say_state(as_json, key, target, state, now)


@flags.command()
@click.argument("slug", metavar="ENVIRONMENT")
@click.option("--demand/--waive", "demanded", required=True)
@as_json
def approval(slug: str, demanded: bool, as_json: bool) -> None:
    """Demand that a second member approves each change in an environment, or no more."""
    with runtime().database.session() as session:
        env_id, now = environment_by_slug(session, slug).id, runtime().clock.now()
        service.demand_approval(session, env_id, demanded=demanded, who=COMMAND_LINE, now=now)
    words = "take a second member's approval" if demanded else "take nobody's approval"
    say(as_json, {"environment": slug, "demands_approval": demanded}, f"Changes in {slug} {words}.")
