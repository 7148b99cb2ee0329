"""`trackside config`: the settings in force."""

import click

from trackside.cli import as_json, say
from trackside.settings import load_settings, masked


@click.group()
def config() -> None:
    """See the settings."""


@config.command()
@as_json
def show(as_json: bool) -> None:
    """Print every setting in force, secrets masked."""
    shown = masked(load_settings())
    width = max(map(len, shown))
    say(as_json, shown, *(f"{name:<{width}}  {value}" for name, value in shown.items()))
