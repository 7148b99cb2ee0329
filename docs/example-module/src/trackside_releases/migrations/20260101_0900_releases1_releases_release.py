"""The table of releases."""

import sqlalchemy as sa
from alembic import op

revision = "releases1"
down_revision = None
branch_labels = ("releases",)
# It needs the kernel's environments, which the first migration of Trackside makes.
depends_on = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "releases_release",
        sa.Column("env_id", sa.BigInteger(), sa.ForeignKey("environment.id"), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "id", name="pk_releases_release"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("releases_release")
