"""`trackside flags list`, `show`, `explain` and `compare`: what there is, and what somebody gets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from trackside.cli import as_json, runtime, say
from trackside.workspace import environment_by_slug, environments
from trackside_modules.flags import ruleset, service, shape
from trackside_modules.flags.cli.group import flags, in_environment
from trackside_modules.flags.cli.lines import state_words, step_lines
from trackside_modules.flags.cli.options import pair_of
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.queries import comparing, exporting, listing, seeing, staleness


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
@in_environment
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
