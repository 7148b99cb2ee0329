"""Put macros in an order, and put them away."""

import sqlalchemy as sa
from alembic import op

revision = "0220"
down_revision = "0219"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns."""
    op.add_column("support_macro", sa.Column("position", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("support_macro", sa.Column("archived_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Take them away."""
    op.drop_column("support_macro", "archived_at")
    op.drop_column("support_macro", "position")
