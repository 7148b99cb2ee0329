"""Index the words of interactions by blocks of their numbers, so that a search can read the newest alone."""

from alembic import op

revision = "0224"
down_revision = "0223"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "ix_support_search_interaction_id",
        "support_search",
        ["interaction_id"],
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 16},
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_support_search_interaction_id", table_name="support_search")
