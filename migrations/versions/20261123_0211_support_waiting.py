"""Find the interactions whose customers wait for us longest without looking at all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0211"
down_revision = "0210"
branch_labels = None
depends_on = None

INDEX = "ix_support_interaction_waiting_since"


def upgrade() -> None:
    """Make the index of those who wait."""
    waiting = sa.text("waiting_since is not null")
    op.create_index(INDEX, "support_interaction", ["waiting_since", "id"], postgresql_where=waiting)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(INDEX, table_name="support_interaction")
