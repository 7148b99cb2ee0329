"""Let trackers tell the support log of work."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0215"
down_revision = "0214"
branch_labels = None
depends_on = None
_NUMBERS = postgresql.ARRAY(sa.BigInteger())


def upgrade() -> None:
    """Make the tables of trackers, of work, and of what was told."""
    op.create_table(
        "support_tracker",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ships_on", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("old_salt", sa.Text()),
        sa.Column("old_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_support_tracker"),
    )
    op.create_table(
        "support_work",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tracker_id", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("repo", sa.Text(), server_default="", nullable=False),
        sa.Column("numbers", _NUMBERS, nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True)),
        sa.Column("shipped_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tracker_id"],
            ["support_tracker.id"],
            name="fk_support_work_tracker_id_support_tracker",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_support_work"),
        sa.UniqueConstraint("tracker_id", "ref", name="uq_support_work_ref"),
    )
    op.create_index("ix_support_work_repo", "support_work", ["tracker_id", "repo"])
    op.create_table(
        "support_work_news",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tracker_id", sa.BigInteger(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("linked", _NUMBERS, server_default="{}", nullable=False),
        sa.Column("shipped", _NUMBERS, server_default="{}", nullable=False),
        sa.Column("unknown", _NUMBERS, server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(
            ["tracker_id"],
            ["support_tracker.id"],
            name="fk_support_work_news_tracker_id_support_tracker",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_support_work_news"),
        sa.UniqueConstraint("tracker_id", "delivery_id", name="uq_support_work_news_delivery_id"),
    )
    op.create_index("ix_support_work_news_received_at", "support_work_news", ["received_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("support_work_news")
    op.drop_table("support_work")
    op.drop_table("support_tracker")
