"""Find what a report's period is of by where it lies: rows are about in the order of time, so blocks are indexed."""

from alembic import op

revision = "0218"
down_revision = "0217"
branch_labels = None
depends_on = None

MOMENTS = ("started_at", "first_reply_at", "resolved_at", "csat_asked_at")


def upgrade() -> None:
    """Make the indexes."""
    op.create_index(
        "ix_support_metric_moments",
        "support_metric",
        list(MOMENTS),
        postgresql_using="brin",
        postgresql_ops=dict.fromkeys(MOMENTS, "timestamptz_minmax_multi_ops"),
        postgresql_with={"autosummarize": "on", "pages_per_range": 16},
    )
    op.create_index(
        "ix_support_interaction_created_at",
        "support_interaction",
        ["created_at"],
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 32},
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_support_interaction_created_at", table_name="support_interaction")
    op.drop_index("ix_support_metric_moments", table_name="support_metric")
