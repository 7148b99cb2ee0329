"""Find work by its commit, of which more is kept, and say why a delivery of a tracker's delivered nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0225"
down_revision = "0224"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("support_work_news", sa.Column("why", sa.Text(), server_default="", nullable=False))
    op.create_index("ix_support_work_sha", "support_work", ["sha"], postgresql_where=sa.text("sha <> ''"))


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_support_work_sha", "support_work")
    op.drop_column("support_work_news", "why")
