"""Bodies of batches are stored as they are: they are short-lived, and compressing them costs more than writing them."""

from alembic import op

revision = "0140"
down_revision = "0132"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Store them uncompressed from now on."""
    op.execute("alter table usage_inbox alter column body set storage external")


def downgrade() -> None:
    """Let PostgreSQL compress them again."""
    op.execute("alter table usage_inbox alter column body set storage extended")
