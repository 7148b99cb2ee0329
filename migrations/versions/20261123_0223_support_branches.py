"""Keep on which branches work is, and since when: a release delivers what was on its own branch when it was made."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0223"
down_revision = "0222"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was merged is on the default branch since then."""
    op.add_column("support_work", sa.Column("sha", sa.Text(), server_default="", nullable=False))
    op.add_column("support_work", sa.Column("branches", JSONB(), server_default="{}", nullable=False))
    op.execute("""
        update support_work set branches = jsonb_build_object('', to_char(merged_at at time zone 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS"+00:00"')) where merged_at is not null
    """)


def downgrade() -> None:
    """Take them away."""
    op.drop_column("support_work", "branches")
    op.drop_column("support_work", "sha")
