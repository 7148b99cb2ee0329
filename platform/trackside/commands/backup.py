"""`trackside backup` and `trackside restore`."""

from pathlib import Path

import click

from trackside import backup as backups
from trackside.cli import as_json, runtime, say


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@as_json
def backup(path: Path, as_json: bool) -> None:
    """Write everything to PATH, and files to PATH.files, which only you can read; safe while Trackside runs."""
    made = backups.backup(runtime(), path)
    words = f"{made.path}: {made.tables} tables, {made.size / 2**20:.1f} MiB, checked to be readable."
    if made.files:
        words += f" {backups.files_beside(made.path)}: {made.files} files; keep it beside."
    say(as_json, {"path": str(made.path), "tables": made.tables, "bytes": made.size, "files": made.files}, words)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def restore(path: Path) -> None:
    """Bring the backup at PATH, and the files beside it, into an empty database and the data folder."""
    backups.restore(runtime(), path)
    click.echo("Restored. Members sign in again; API keys work as before.")
