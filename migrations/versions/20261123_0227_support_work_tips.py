"""Keep of which branches a commit was the tip, and when work was first told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0227"
down_revision = "0226"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what merged a request was its branch's tip, of commits it is not known."""
    op.add_column("support_work", sa.Column("tips", JSONB(), server_default="{}", nullable=False))
    made = sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    op.add_column("support_work", made)
    op.execute("UPDATE support_work SET tips = branches WHERE ref ~ '/(pull|merge_requests)/[0-9]+$'")


def downgrade() -> None:
    """Take them away."""
    op.drop_column("support_work", "made_at")
    op.drop_column("support_work", "tips")
