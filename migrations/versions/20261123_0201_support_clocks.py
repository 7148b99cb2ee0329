"""Keep the rules that clocks run by, what clocks show, and the links by which customers rate."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0201"
down_revision = "0200"
branch_labels = None
depends_on = None

_TIMES = ("first_reply_at", "first_reply_due", "next_reply_due", "resolved_at", "resolution_due", "due_at")
_NUMBERS = ("first_reply_s", "next_reply_s", "resolution_s", "logged_ms", "csat_score")


def upgrade() -> None:
    """Make the tables; metrics are made of events, by the job or by `trackside support rebuild`."""
    _rules()
    _metrics()
    _links()


def _rules() -> None:
    op.create_table(
        "support_rules",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("member_id", sa.BigInteger()),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_support_rules"),
    )


def _metrics() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "support_metric",
        sa.Column("interaction_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("seq", "rules_version", "policy_id")),
        sa.Column("started_at", moment, nullable=False),
        *(sa.Column(name, moment) for name in (*_TIMES, "csat_asked_at", "csat_at")),
        *(sa.Column(name, sa.BigInteger()) for name in _NUMBERS),
        *(sa.Column(f"{name}_missed", sa.Boolean()) for name in ("first_reply", "next_reply", "resolution")),
        sa.Column("due_what", sa.Text()),
        sa.Column("missed", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("next_replies", "replies", "reopens")),
        sa.PrimaryKeyConstraint("interaction_id", name="pk_support_metric"),
    )
    op.create_index("ix_support_metric_started_at", "support_metric", ["started_at"])
    op.create_index("ix_support_metric_rules_version", "support_metric", ["rules_version"])
    op.create_index(
        "ix_support_metric_due_at", "support_metric", ["due_at"], postgresql_where=sa.text("due_at is not null")
    )


def _links() -> None:
    op.create_table(
        "support_csat",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("interaction_id", sa.BigInteger(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.Column("commented_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_support_csat"),
        sa.UniqueConstraint("token_digest", name="uq_support_csat_token_digest"),
    )
    op.create_index("ix_support_csat_interaction_id", "support_csat", ["interaction_id"])


def downgrade() -> None:
    """Drop them."""
    for name in ("support_csat", "support_metric", "support_rules"):
        op.drop_table(name)
