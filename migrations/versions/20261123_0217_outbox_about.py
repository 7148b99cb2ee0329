"""Let one ask what became of a delivery."""

import sqlalchemy as sa
from alembic import op

revision = "0217"
down_revision = "0216"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a delivery is about, its task, and what its sender said."""
    op.add_column("outbox", sa.Column("about", sa.Text()))
    op.add_column("outbox", sa.Column("task_id", sa.BigInteger()))
    op.add_column("outbox", sa.Column("remark", sa.Text()))
    op.create_index("ix_outbox_about", "outbox", ["about"], postgresql_where=sa.text("about is not null"))


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_outbox_about", "outbox")
    op.drop_column("outbox", "remark")
    op.drop_column("outbox", "task_id")
    op.drop_column("outbox", "about")
