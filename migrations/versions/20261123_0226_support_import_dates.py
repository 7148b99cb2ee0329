"""Keep how the dates of an import are written, and in which time zone."""

import sqlalchemy as sa
from alembic import op

revision = "0226"
down_revision = "0225"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("support_import", sa.Column("dates", sa.Text(), server_default="", nullable=False))
    op.add_column("support_import", sa.Column("zone", sa.Text(), server_default="UTC", nullable=False))


def downgrade() -> None:
    """Take them away."""
    op.drop_column("support_import", "zone")
    op.drop_column("support_import", "dates")
