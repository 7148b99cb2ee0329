"""How Alembic runs our migrations: on the connection that `trackside.migrate` hands over, one at a time."""

from alembic import context

from trackside.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=True,
    include_object=context.config.attributes.get("include_object"),
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
