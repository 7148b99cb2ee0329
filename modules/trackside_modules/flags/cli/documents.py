"""`trackside flags export`, `apply` and `import`: flags as a document, in git or of another tool."""

from typing import Any

import click
import msgspec

from trackside.auth.audit import COMMAND_LINE
from trackside.cli import as_json, runtime, say
from trackside.errors import InputError
from trackside.workspace import environments
from trackside_modules.flags import ruleset, yaml_text
from trackside_modules.flags.cli.group import flags, with_reason, without_approval
from trackside_modules.flags.cli.lines import step_lines
from trackside_modules.flags.cli.options import pair_of
from trackside_modules.flags.queries import exporting
from trackside_modules.flags.service import applying
from trackside_modules.flags.unleash import importing as unleash


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
@with_reason
@without_approval
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
@with_reason
@without_approval
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
