"""`trackside flags`: flags from the shell, and as a document in git."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import click
import msgspec
from sqlalchemy.orm import Session

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.errors import InputError
from trackside.workspace import environment_by_slug, environments
from trackside_modules.flags import ruleset, service, shape, yaml_text
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.options import edit_of, pair_of, step_of, variant_of
from trackside_modules.flags.queries import comparing, exporting, listing, seeing, staleness
from trackside_modules.flags.service import applying, edits, promoting
from trackside_modules.flags.unleash import importing as unleash
from trackside_modules.flags.wording import percent, span, state_words, step_lines

Command = TypeVar("Command", bound=Callable[..., Any])
_env = click.option("--env", "slug", default="production", show_default=True, help="Environment.")
_reason = click.option("--reason", default="", help="Why, for the history.")
_approved = click.option(
    "--without-approval", "approved", is_flag=True, help="Also where an environment demands a second member."
)
_if_version = click.option("--if-version", type=int, help="Only if the state is still at this version.")


@click.group()
def flags() -> None:
    """Create, roll out, explain and move feature flags."""


@flags.command("list")
@click.option("--search", default="", help="Part of a key, name, description or tag.")
@click.option("--tag", default="")
@click.option("--kind", type=click.Choice(shape.KINDS), default=None)
@click.option("--archived", is_flag=True, help="Those that are archived.")
@click.option("--stale", is_flag=True, help="Only those that have had their day, with the evidence.")
@as_json
def list_(search: str, tag: str, kind: str | None, *, archived: bool, stale: bool, as_json: bool) -> None:
    """List flags, and how each stands in every environment."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        ruleset.lock(session, [])
        rows = listing.listed(session, listing.Filter(search, kind or "", tag, archived=archived))
        told = staleness.evidence(session, rows, now=now)
        rows = [row for row in rows if not stale or told[row.flag.id]]
        places = [(each.id, each.slug) for each in environments(session)]
        found = [_row(row, places, [each.text for each in told[row.flag.id]], now) for row in rows]
    lines = [f"{it.key:<32}  {it.kind:<10}  {'  '.join(map(': '.join, it.states.items()))}" for it in found]
    if stale:
        lines = [f"{it.key:<32}  {' '.join(it.stale)}" for it in found]
    say(as_json, found, *lines)


@flags.command()
@click.argument("key")
@as_json
def show(key: str, as_json: bool) -> None:
    """Show a flag, and its state in every environment."""
    now = runtime().clock.now()
    with runtime().database.session() as session:
        flag = service.get(session, key)
        found = exporting.export(session, keys=[key])["flags"][key]
        versions = {slug: row.version for slug, row in _states(session, flag).items()}
    lines = [f"{key}: {found['name']}", f"{found['type']}, {found['kind']}{', archived' if found['archived'] else ''}"]
    lines += [f"{slug}: {state_words(config, now)}" for slug, config in found["environments"].items()]
    say(as_json, {"key": key, **found, "version": flag.version, "state_versions": versions}, *lines)


@flags.command()
@click.argument("key")
@click.option("--name", default="")
@click.option("--description", default="")
@click.option("--template", type=click.Choice(sorted(service.TEMPLATES)), default=None)
@click.option("--type", "type_", type=click.Choice(shape.TYPES), default=None)
@click.option("--kind", type=click.Choice(shape.KINDS), default=None)
@click.option("--variant", "variants", multiple=True, metavar="NAME=VALUE", help="JSON, or text for a string flag.")
@click.option("--tag", "tags", multiple=True)
@_reason
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
@_env
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
@_if_version
@_reason
@_approved
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
    _say_state(as_json, key, slug, state, now)


@flags.command()
@click.argument("key")
@_env
@click.option("--to", type=click.FloatRange(0, 100), default=100.0, show_default=True, help="Per cent at the end.")
@click.option("--steps", type=click.IntRange(1, edits.MOST_STEPS), default=4, show_default=True)
@click.option("--every", default="1d", show_default=True, metavar="TIME", help="Between steps: 30m, 6h, 1d.")
@click.option("--step", "given", multiple=True, metavar="PER CENT@TIME", help="Instead: each step as it shall be.")
@click.option("--rule", default="", help="Id of the rule to ramp; else everyone else.")
@_if_version
@_reason
@_approved
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
        even = edits.even_ramp(percent(to), steps, span(every), rule, now=now)
        rising = edits.ramp([step_of(each) for each in given], rule, now=now) if given else even
        edit = edits.both(rising, edits.switch(on=True))
        state = service.change(session, env_id, key, edit, approved=approved, **how)
    _say_state(as_json, key, slug, state, now)


@flags.command()
@click.argument("key")
@_env
@click.option("--user", default="", help="External id.")
@click.option("--account", default="", help="External id.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="JSON, or text.")
@as_json
def explain(key: str, slug: str, user: str, account: str, *, attributes: tuple[str, ...], as_json: bool) -> None:
    """Say what somebody gets, and why: each rule, matched or not, and the bucket."""
    context: dict[str, Any] = dict(pair_of(each) for each in attributes)
    context |= ({shape.USER: user} if user else {}) | ({shape.ACCOUNT: account} if account else {})
    with runtime().database.session() as session:
        env_id = environment_by_slug(session, slug).id
        trace = seeing.explain(session, env_id, key, context, runtime().clock.now())
    say(as_json, trace.as_dict(), trace.text, *(f"  {each.text}" for each in trace.steps))


@flags.command()
@click.argument("key")
@click.option("--restore", is_flag=True, help="Put it back instead, off everywhere.")
@_reason
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
@_env
@_reason
@_approved
@as_json
def revert(key: str, version: int, slug: str, *, reason: str, approved: bool, as_json: bool) -> None:
    """Make the state in an environment what it was at VERSION."""
    with runtime().database.session() as session:
        env_id, now = environment_by_slug(session, slug).id, runtime().clock.now()
        service.revert(session, env_id, key, version, who=COMMAND_LINE, now=now, reason=reason, approved=approved)
        state = session.get_one(State, (env_id, service.get(session, key).id))
    _say_state(as_json, key, slug, state, now)


@flags.command()
@click.argument("first")
@click.argument("second")
@as_json
def compare(first: str, second: str, as_json: bool) -> None:
    """Show how flags differ between two environments; exit code 1 where they do."""
    with runtime().database.session() as session:
        ids = [environment_by_slug(session, slug).id for slug in (first, second)]
        found = comparing.compare(session, *ids)
    say(as_json, found, *(line for each in found for line in (each.key, *step_lines(each.diff))))
    if found:
        click.get_current_context().exit(1)


@flags.command()
@click.argument("key")
@click.option("--from", "source", required=True, help="Environment to take it from.")
@click.option("--to", "target", required=True, help="Environment to change.")
@_reason
@_approved
@as_json
def promote(key: str, source: str, target: str, *, reason: str, approved: bool, as_json: bool) -> None:
    """Make a flag in one environment what it is in another."""
    with runtime().database.session() as session:
        now, ids = runtime().clock.now(), [environment_by_slug(session, slug).id for slug in (source, target)]
        how: dict[str, Any] = {"who": COMMAND_LINE, "now": now, "reason": reason, "approved": approved}
        state = promoting.promote(session, key, source=ids[0], target=ids[1], **how)
    _say_state(as_json, key, target, state, now)


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


@flags.command()
@click.argument("keys", nargs=-1)
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def export(keys: tuple[str, ...], form: str, as_json: bool) -> None:
    """Write all flags (or KEYS), with all environments, as one document to standard output."""
    with runtime().database.session() as session:
        ruleset.lock(session, [])
        found = exporting.export(session, keys=keys or None)
    if as_json or form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        click.echo(yaml_text.dump(found), nl=False)


@flags.command("apply")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--dry-run", "dry", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--prune", is_flag=True, help="Archive the flags that the document does not name.")
@_reason
@_approved
@as_json
def apply_(file: Any, *, dry: bool, prune: bool, reason: str, approved: bool, as_json: bool) -> None:
    """Make flags what FILE says (- reads standard input): all of it or nothing, and the same again changes nothing."""
    _apply(yaml_text.load(_text(file)), as_json, dry=dry, prune=prune, reason=reason, approved=approved)


@flags.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--from", "origin", default="trackside", show_default=True, type=click.Choice(["trackside", "unleash"]))
@click.option("--map", "places", multiple=True, metavar="THEIRS=OURS", help="Which environment stands for which.")
@click.option("--env", "slug", default="production", show_default=True, help="Where a file of one environment goes.")
@click.option("--dry-run", "dry", is_flag=True, help="Show what would change, and change nothing.")
@_reason
@_approved
@as_json
def import_(
    file: Any, origin: str, places: tuple[str, ...], slug: str, *, reason: str, approved: bool, **asked: bool
) -> None:
    """Bring in the flags of FILE, an export; exit code 3 where some of it was refused."""
    how: dict[str, Any] = {"dry": asked["dry"], "reason": reason, "approved": approved, "what": "imported"}
    if origin == "trackside":
        _apply(yaml_text.load(_text(file)), asked["as_json"], **how)
        return
    with runtime().database.session() as session:
        slugs = [each.slug for each in environments(session)]
    given = unleash.read(_text(file).encode(), slugs=slugs, places=dict(map(pair_of, places)), alone=slug)
    _apply(given.document, asked["as_json"], given, **how)
    if given.refused:
        click.get_current_context().exit(3)


def _apply(given: Any, as_json: bool, origin: unleash.Import | None = None, *, dry: bool, **how: Any) -> None:
    with runtime().database.session() as session:
        steps = applying.apply(session, given, who=COMMAND_LINE, now=runtime().clock.now(), dry=dry, **how)
    lines = origin.lines() if origin else []
    for each in steps:
        place = f" in {each.environment}" if each.environment else ""
        lines += [f"{each.key}{place}: {each.what}", *(step_lines(each.diff) if each.what != "created" else ())]
    count = len({each.key for each in steps})
    ending = f"{count} {'flag' if count == 1 else 'flags'} {'would change' if dry else 'changed'}."
    told = {"dry_run": dry, "changes": steps, **(origin.told() if origin else {})}
    say(as_json, told, *lines, ending if steps else "Nothing to change.")


def _text(file: Any) -> str:
    try:
        text: str = file.read(yaml_text.LARGEST + 1)
    except UnicodeDecodeError as error:
        raise InputError("The document is not UTF-8.") from error
    return text


@dataclass(frozen=True, slots=True)
class _Row:
    """A flag as it is listed."""

    key: str
    name: str
    kind: str
    type: str
    states: dict[str, str]
    stale: list[str]


def _row(row: listing.Row, places: list[tuple[int, str]], stale: list[str], now: datetime) -> _Row:
    states = {slug: state_words(row.states[env_id].config, now) for env_id, slug in places}
    return _Row(row.flag.key, row.flag.name, row.flag.kind, row.flag.type, states, stale)


def _states(session: Session, flag: Flag) -> dict[str, State]:
    found = listing.rows(session, [flag])[0].states
    return {each.slug: found[each.id] for each in environments(session) if each.id in found}


def _say_state(as_json: bool, key: str, slug: str, state: State, now: datetime) -> None:
    values = {"key": key, "environment": slug, "version": state.version, "state": state.config}
    say(as_json, values, f"{key} in {slug}: {state_words(state.config, now)} (version {state.version})")
