"""Remember failed calls by status, and wrong turns by user: what is remembered without them is made anew by the job."""

import sqlalchemy as sa
from alembic import op

revision = "0214"
down_revision = "0213"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and forget what is remembered; pages read the tiers until it is made again."""
    _make(
        "usage_failure",
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.LargeBinary(), nullable=False),
        key=("unit", "at", "endpoint_id", "status"),
    )
    _make(
        "usage_turn",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("turns", sa.LargeBinary(), nullable=False),
        key=("unit", "at", "service"),
    )
    _make(
        "usage_error_sum",
        sa.Column("error_id", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.LargeBinary(), nullable=False),
        key=("unit", "at", "error_id"),
    )
    op.execute("alter table usage_turn alter column turns set storage external")
    op.execute("update usage_remembered set fresh = false where fresh")


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
    for name in ("usage_error_sum", "usage_turn", "usage_failure"):
        op.drop_table(name)
