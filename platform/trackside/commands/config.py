"""`trackside config`: the settings in force."""

import click
import msgspec

from trackside.settings import load_settings, masked


@click.group()
def config() -> None:
    """See the settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(as_json: bool) -> None:
    """Print every setting in force, secrets masked."""
    shown = masked(load_settings())
    if as_json:
        click.echo(msgspec.json.encode(shown))
        return
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {value}")
