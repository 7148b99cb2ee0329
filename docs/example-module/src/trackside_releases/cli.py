"""`trackside releases`: the same from a deploy script."""

import click

from trackside.cli import runtime
from trackside.workspace import environment_by_slug
from trackside_releases import service


@click.group()
def releases() -> None:
    """Record releases of your API."""


@releases.command()
@click.argument("version")
@click.option("--env", default="production", show_default=True, help="Environment it went live in.")
def record(version: str, env: str) -> None:
    """Record that VERSION is live now."""
    with runtime().database.session() as session:
        environment = environment_by_slug(session, env)
        service.record(session, environment.id, version, runtime().clock.now())
    click.echo(f"{version} is marked on the charts of {env}.")
