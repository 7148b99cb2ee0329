"""Keep the mails that come in for the support log."""

import sqlalchemy as sa
from alembic import op

revision = "0212"
down_revision = "0211"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "support_mail",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sender", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("interaction_id", sa.BigInteger()),
        sa.Column("raw", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_support_mail"),
        sa.UniqueConstraint("message_id", name="uq_support_mail_message_id"),
    )
    op.create_index("ix_support_mail_interaction_id", "support_mail", ["interaction_id"])
    op.create_index("ix_support_mail_sender", "support_mail", ["sender", "received_at"])
    op.create_index(
        "ix_support_mail_unjoined",
        "support_mail",
        ["received_at"],
        postgresql_where=sa.text("interaction_id is null"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("support_mail")
