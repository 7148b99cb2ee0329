"""When a flag's state changes by itself the next time, so that the history can mark it."""

import sqlalchemy as sa
from alembic import op

revision = "0151"
down_revision = "0150"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and find what is due by it."""
    op.add_column("flags_state", sa.Column("next_step_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_flags_state_next_step_at",
        "flags_state",
        ["next_step_at"],
        postgresql_where=sa.text("next_step_at is not null"),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("ix_flags_state_next_step_at", "flags_state")
    op.drop_column("flags_state", "next_step_at")
