"""Tasks, the outbox and claimed ticks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = sa.text("state in ('waiting', 'running')")


def upgrade() -> None:
    """Make the tables."""
    _task()
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("delivery_id", name="uq_outbox_delivery_id"),
    )
    op.create_table(
        "tick_claim",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("name", "slot", name="pk_tick_claim"),
    )


def _task() -> None:
    op.create_table(
        "task",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("lease_token", sa.Text()),
        sa.Column("dedupe_key", sa.Text()),
        sa.Column("again", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_task"),
        sa.CheckConstraint("state in ('waiting', 'running', 'done', 'failed', 'discarded')", name="ck_task_state"),
    )
    op.create_index("uq_task_dedupe_key_open", "task", ["dedupe_key"], unique=True, postgresql_where=OPEN)
    op.create_index("ix_task_open", "task", ["not_before"], postgresql_where=OPEN)
    closed = sa.text("state not in ('waiting', 'running')")
    op.create_index("ix_task_closed", "task", ["finished_at"], postgresql_where=closed)
    op.create_index("ix_task_failed", "task", ["id"], postgresql_where=sa.text("state = 'failed'"))


def downgrade() -> None:
    """Drop them."""
    op.drop_table("tick_claim")
    op.drop_table("outbox")
    op.drop_table("task")
