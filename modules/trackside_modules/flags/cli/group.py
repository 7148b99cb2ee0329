"""`trackside flags`: the group of commands, and the options that several of them have."""

from datetime import datetime

import click

from trackside.cli import say
from trackside_modules.flags.cli.lines import state_words
from trackside_modules.flags.models import State

in_environment = click.option("--env", "slug", default="production", show_default=True, help="Environment.")
with_reason = click.option("--reason", default="", help="Why, for the history.")
without_approval = click.option(
    "--without-approval", "approved", is_flag=True, help="Also where an environment demands a second member."
)
if_version_is = click.option("--if-version", type=int, help="Only if the state is still at this version.")


@click.group()
def flags() -> None:
    """Create, roll out, explain and move feature flags."""


def say_state(as_json: bool, key: str, slug: str, state: State, now: datetime) -> None:
    """Print how a flag stands in an environment after a change of it."""
    values = {"key": key, "environment": slug, "version": state.version, "state": state.config}
    say(as_json, values, f"{key} in {slug}: {state_words(state.config, now)} (version {state.version})")
