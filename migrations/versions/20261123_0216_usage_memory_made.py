"""Say of each remembered bucket when it was made, so that a process knows what it holds of it to be true."""

import sqlalchemy as sa
from alembic import op

revision = "0216"
down_revision = "0215"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the time: a thousand rows of an environment, each with its own."""
    made = sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False)
    op.add_column("usage_remembered", made)


def downgrade() -> None:
    """Take it away."""
    op.drop_column("usage_remembered", "made_at")
