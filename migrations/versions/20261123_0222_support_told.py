"""Keep beside an interaction's metrics what reports are narrowed to and told by, so that they read nothing else."""

import sqlalchemy as sa
from alembic import op

revision = "0222"
down_revision = "0221"
branch_labels = None
depends_on = None

MOMENTS = ("started_at", "first_reply_at", "resolved_at", "csat_asked_at")
RARE = ("csat_asked_at", "logged_at")
FILLED = ("counted", "active", "inbound", "kind", "channel")


def upgrade() -> None:
    """Add the columns, fill them of the interactions, and index what is active and when it was logged."""
    for name in ("counted", "active", "inbound"):
        op.add_column("support_metric", sa.Column(name, sa.Boolean()))
    for name in ("kind", "channel"):
        op.add_column("support_metric", sa.Column(name, sa.Text()))
    for name in ("topic_id", "user_id", "account_id"):
        op.add_column("support_metric", sa.Column(name, sa.BigInteger()))
    op.add_column("support_metric", sa.Column("logged_at", sa.DateTime(timezone=True)))
    op.execute("""
        update support_metric m set counted = i.merged_into is null and i.status <> 'spam',
            active = i.merged_into is null and i.status in ('new', 'open', 'waiting_customer', 'waiting_dev'),
            inbound = i.direction = 'in', kind = i.kind, channel = i.channel, topic_id = i.topic_id,
            user_id = i.user_id, account_id = i.account_id,
            logged_at = case when m.logged_ms is not null then i.created_at end
        from support_interaction i where i.id = m.interaction_id
    """)
    op.execute("delete from support_metric where counted is null")
    for name in FILLED:
        op.alter_column("support_metric", name, nullable=False)
    op.create_index("ix_support_metric_active", "support_metric", ["started_at"], postgresql_where=sa.text("active"))
    op.drop_index("ix_support_metric_moments", table_name="support_metric")
    _index(MOMENTS[:3])
    for name in RARE:
        where = sa.text(f"{name} is not null")
        op.create_index(f"ix_support_metric_{name}", "support_metric", [name], postgresql_where=where)


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_support_metric_moments", table_name="support_metric")
    for name in ("active", *RARE):
        op.drop_index(f"ix_support_metric_{name}", table_name="support_metric")
    for name in (*FILLED, "topic_id", "user_id", "account_id", "logged_at"):
        op.drop_column("support_metric", name)
    _index(MOMENTS)


def _index(moments: tuple[str, ...]) -> None:
    op.create_index(
        "ix_support_metric_moments",
        "support_metric",
        list(moments),
        postgresql_using="brin",
        postgresql_ops=dict.fromkeys(moments, "timestamptz_minmax_multi_ops"),
        postgresql_with={"autosummarize": "on", "pages_per_range": 16},
    )
