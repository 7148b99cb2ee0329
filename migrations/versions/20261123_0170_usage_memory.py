"""Remember the sums of endpoints and users of hours, days and weeks that are over, for the pages."""

import sqlalchemy as sa
from alembic import op

revision = "0170"
down_revision = "0160"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; a job fills them. Crowds are read as they lie, so they are not compressed."""
    counts = [sa.Column(name, sa.BigInteger(), nullable=False) for name in ("client_errors", "server_errors", "slow")]
    _make("usage_remembered", sa.Column("fresh", sa.Boolean(), nullable=False), key=("unit", "at"))
    _make(
        "usage_sum",
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        *counts,
        sa.Column("approximate", sa.Boolean(), nullable=False),
        sa.Column("latency", sa.LargeBinary(), nullable=False),
        sa.Column("users", sa.LargeBinary(), nullable=False),
        key=("unit", "at", "endpoint_id"),
    )
    _make(
        "usage_crowd",
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.LargeBinary(), nullable=False),
        key=("unit", "endpoint_id", "at"),
    )
    op.execute("alter table usage_crowd alter column users set storage external")


def _make(name: str, *columns: sa.Column, key: tuple[str, ...]) -> None:
    op.create_table(
        name,
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("env_id", *key, name=f"pk_{name}"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name=f"fk_{name}_env_id"),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("usage_crowd", "usage_sum", "usage_remembered"):
        op.drop_table(name)
