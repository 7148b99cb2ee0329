"""The command line: `trackside COMMAND`; each command is loaded only when it is called.

Exit codes: 0 done, 1 failed (one line says why and what to do), 2 wrong usage or settings, 3 not found.
"""

import sys
from functools import cache
from typing import Any

import click
import msgspec
from redis import RedisError
from sqlalchemy.exc import OperationalError

from trackside.errors import NotFound, SettingsError, TracksideError, cause_of
from trackside.module import Ref, resolve
from trackside.registry import load_registry
from trackside.runtime import Runtime, build_runtime
from trackside.settings import load_settings

COMMANDS: dict[str, Ref] = {
    "backup": "trackside.commands.backup:backup",
    "config": "trackside.commands.config:config",
    "db": "trackside.commands.db:db",
    "demo": "trackside.commands.demo:demo",
    "doctor": "trackside.commands.doctor:doctor",
    "restore": "trackside.commands.backup:restore",
    "stream": "trackside.commands.stream:stream",
    "up": "trackside.commands.up:up",
    "web": "trackside.commands.web:web",
}
"""The kernel's own commands; modules add theirs through `Module.commands`."""


@cache
def runtime() -> Runtime:
    """Return this command's runtime, made from the environment when first asked."""
    return build_runtime(load_settings())


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""The option of every command that lists or makes something; `say` answers it."""


def say(as_json: bool, data: Any, *lines: str) -> None:
    """Print `data` as JSON, or `lines` for people."""
    for line in (msgspec.json.encode(data).decode(),) if as_json else lines:
        click.echo(line)


class LazyGroup(click.Group):
    """A group whose commands are named by reference and imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, sorted."""
        return sorted(command_refs())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command called `name`, or None."""
        ref = command_refs().get(name)
        return resolve(ref) if ref else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say what went wrong in one line and an exit code instead of a trace."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            for problem in error.problems:
                click.echo(f"trackside: {problem}", err=True)
            ctx.exit(2)
        except NotFound as error:
            click.echo(f"trackside: {error.message}", err=True)
            ctx.exit(3)
        except TracksideError as error:
            click.echo(f"trackside: {error.message}", err=True)
            ctx.exit(1)
        except (OperationalError, RedisError) as error:
            click.echo(
                f"trackside: a server is not reachable ({cause_of(error)}): `trackside doctor` says which", err=True
            )
            ctx.exit(1)


@cache
def command_refs() -> dict[str, Ref]:
    """Return every command, the kernel's and the modules', by name."""
    found = dict(COMMANDS)
    for module in load_registry().modules:
        found.update(module.commands)
    return found


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trackside", prog_name="trackside")
def trackside() -> None:
    """Trackside: usage, support, flags and health of your API's customers in one place."""


def main() -> None:
    """Run the command line."""
    sys.exit(trackside.main(standalone_mode=True))
