"""`trackside db`: migrations and the first rows."""

import click

from trackside import migrate
from trackside.cli import as_json, runtime, say
from trackside.workspace import seed_workspace


@click.group()
def db() -> None:
    """Migrate the database, or say where it stands."""


@db.command()
@click.option("--to", "target", default="heads", show_default=True, help="Revision to go up to.")
def upgrade(target: str) -> None:
    """Bring the database to this version's tables, then make the first environments."""
    engine = runtime().database.engine
    migrate.upgrade(engine, target)
    if target == "heads":
        with runtime().database.session() as session:
            seed_workspace(session)
    click.echo(f"The database is at migration {migrate.current(engine)}.")


@db.command()
@click.argument("target")
def downgrade(target: str) -> None:
    """Take the database back to TARGET (`base` empties it)."""
    migrate.downgrade(runtime().database.engine, target)
    click.echo(f"The database is at migration {migrate.current(runtime().database.engine) or 'none'}.")


@db.command()
@as_json
def status(as_json: bool) -> None:
    """Say which migration the database has and which this version needs."""
    found, wanted = migrate.current(runtime().database.engine), migrate.head()
    say(as_json, {"database": found, "version": wanted}, f"database: {found or 'empty'}, this version: {wanted}")
    if found != wanted:
        raise SystemExit(1)
