"""Remember what all calls of an hour or week came to, for the page of patterns."""

import sqlalchemy as sa
from alembic import op

revision = "0120"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "usage_pulse",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("server_errors", sa.BigInteger(), nullable=False),
        sa.Column("users", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "unit", "service", "at", name="pk_usage_pulse"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_usage_pulse_env_id"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("usage_pulse")
