"""`trackside backup` and `trackside restore`."""

from pathlib import Path

import click

from trackside import backup as backups
from trackside.cli import runtime


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def backup(path: Path) -> None:
    """Write everything to PATH, a file that only you can read; safe while Trackside runs."""
    made = backups.backup(runtime(), path)
    click.echo(f"{made.path}: {made.tables} tables, {made.size / 2**20:.1f} MiB, checked to be readable.")


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def restore(path: Path) -> None:
    """Bring the backup at PATH into an empty database."""
    backups.restore(runtime(), path)
    click.echo("Restored. Members sign in again; API keys work as before.")
