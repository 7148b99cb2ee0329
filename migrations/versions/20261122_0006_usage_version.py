"""Versions of services, and when each was first seen."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "usage_version",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "service", "version", name="pk_usage_version"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_usage_version_env_id"),
    )
    op.create_index("ix_usage_version_first_seen_at", "usage_version", ["env_id", "first_seen_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("usage_version")
